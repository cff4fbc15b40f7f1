"""Slices of a case with its reference, its prediction and where they differ, as PNGs for the page."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autospine.core.boundary import Boundary
from autospine.core.errors import UserError
from autospine.dataset.class_files import read_labels
from autospine.evaluation.case import schemes_shown
from autospine.evaluation.cohort import CaseFiles
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.structures import common_labels
from autospine.labels.anatomy import Anatomy
from autospine.metrics.surface import bounding_box
from autospine.overlay.colours import Colour, colour_of
from autospine.overlay.draw import inner_centre
from autospine.volumes import Volume, read_image
from autospine.volumes.resampling import onto_grid

log = logging.getLogger(__name__)
HEIGHT = 460  # pixels
WIDEST = 460
MARGIN_MM = 20.0
FILL = 0.32
SMALLEST_NAMED_MM2 = 50.0
DARKEST_TO_BRIGHTEST = (1, 99)  # percentiles of a slice's intensities
PLAIN = 0.14  # grey where there is no scan
ERRORS: dict[str, Colour] = {
    "false negative": (0.27, 0.55, 0.95),
    "false positive": (0.95, 0.33, 0.25),
    "wrong label": (0.96, 0.78, 0.2),
}


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str  # what it shows
    png: bytes  # its bytes
    names: tuple[tuple[str, float, float], ...] = ()  # level names and where they stand, as shares of width and height

    @property
    def data(self) -> str:
        """Return the picture as an address that a page can hold."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class _Slice:
    """A sagittal slice, cropped: masks in rows of the shared anatomies, image 0 to 1."""

    prediction: np.ndarray
    reference: np.ndarray
    image: np.ndarray
    spacing: tuple[float, float]


def draw_case(files: CaseFiles) -> tuple[str, list[Panel]]:
    """Draw the slice on which prediction and reference differ most.

    Returns:
        Which slice, and three panels: reference, prediction, differences. Without a scan the masks alone; if they
        cannot be drawn, nothing.
    """
    drawn = Boundary("the picture").attempt(str(files.reference), _draw, files)
    if isinstance(drawn, UserError):
        log.warning("%s", drawn)
        return "", []
    return drawn


def _draw(files: CaseFiles) -> tuple[str, list[Panel]]:
    schemes = files.common.schemes
    reference = read_labels(files.reference, schemes[1].negative)
    labels = reference.array * 0
    if files.prediction is not None:
        prediction = read_labels(files.prediction, schemes[0].negative)
        if prediction.grid_difference(reference):
            prediction = onto_grid(prediction, reference)
        labels = prediction.array
    pair = MaskPair(labels, reference.array, reference.spacing, schemes)
    common = common_labels(*schemes_shown(pair))
    annotated = common.reference.apply(reference.array, files.reference)
    predicted = common.prediction.apply(labels, files.prediction or files.reference)
    rows = common.reference.target
    hidden = annotated == rows.ignore_label
    predicted[hidden | (predicted == rows.ignore_label)] = 0
    annotated[hidden] = 0
    index = _most_different(predicted, annotated)
    image = _background(files, reference, index)
    view = _crop(predicted[index], annotated[index], image, reference.spacing[1:])
    anatomies = dict(rows.anatomies)
    panels = [
        _labelled("reference", view, view.reference, anatomies),
        _labelled("prediction", view, view.prediction, anatomies),
        Panel("differences", _png(_errors(view))),
    ]
    return f"slice {index + 1} of {annotated.shape[0]}", panels


def _most_different(prediction: np.ndarray, reference: np.ndarray) -> int:
    differing = (prediction != reference).sum(axis=(1, 2))  # (slices,)
    return int(differing.argmax() if differing.any() else (reference != 0).sum(axis=(1, 2)).argmax())


def _background(files: CaseFiles, reference: Volume, index: int) -> np.ndarray:
    """Return the scan's slice, plain grey where there is none on the same grid."""
    plain = np.full(reference.array.shape[1:], PLAIN)
    if files.image is None:
        return plain
    try:
        image = read_image(files.image)
    except UserError:
        return plain
    if not reference.geometry.canonical().same_grid(image.geometry.canonical()):
        return plain
    return np.asarray(image.array[index], float)


def _crop(prediction: np.ndarray, reference: np.ndarray, image: np.ndarray, spacing: tuple[float, float]) -> _Slice:
    box = bounding_box((prediction != 0) | (reference != 0)) or tuple(slice(0, n) for n in image.shape)
    sides = []
    for side, mm, size in zip(box, spacing, image.shape, strict=True):
        margin = round(MARGIN_MM / mm)
        sides.append(slice(max(side.start - margin, 0), min(side.stop + margin, size)))
    crop = tuple(sides)
    shown = image[crop]
    low, high = np.percentile(shown, DARKEST_TO_BRIGHTEST)
    if high > low:
        shown = np.clip((shown - low) / (high - low), 0, 1)
    return _Slice(prediction[crop], reference[crop], shown, spacing)


def _enlarged(values: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Interpolate to square pixels, as many as the page shows."""
    from scipy.ndimage import zoom

    tall, wide = (n * mm for n, mm in zip(values.shape, spacing, strict=True))
    scale = min(HEIGHT / tall, WIDEST / wide)  # pixels per mm
    factors = [max(round(n * mm * scale), 1) / n for n, mm in zip(values.shape, spacing, strict=True)]
    return zoom(values, factors, order=1, grid_mode=True, mode="nearest")


def _smooth_labels(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Enlarge labels without steps: a pixel has the label that weighs most there."""
    values = np.unique(mask)
    weights = np.stack([_enlarged((mask == value).astype(np.float32), spacing) for value in values])
    return values[weights.argmax(axis=0)]


def _grey(view: _Slice) -> np.ndarray:
    return np.repeat(_enlarged(view.image, view.spacing)[..., None], 3, axis=2)  # (rows, columns, 3)


def _labelled(title: str, view: _Slice, mask: np.ndarray, anatomies: Mapping[int, Anatomy]) -> Panel:
    picture, labels = _grey(view), _smooth_labels(mask, view.spacing)
    names = []
    for value in np.unique(mask[mask != 0]):
        anatomy = anatomies[int(value)]
        _paint(picture, labels == value, colour_of(anatomy))
        region = mask == value
        if anatomy.level is not None and region.sum() * np.prod(view.spacing) >= SMALLEST_NAMED_MM2:
            row, column = inner_centre(region, view.spacing)
            names.append((anatomy.short_name, (column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]))
    return Panel(title, _png(picture), tuple(names))


def _errors(view: _Slice) -> np.ndarray:
    picture = _grey(view)
    predicted, annotated = (_smooth_labels(mask, view.spacing) for mask in (view.prediction, view.reference))
    wrong_label = (annotated != 0) & (predicted != 0) & (predicted != annotated)
    _paint(picture, (annotated != 0) & (predicted == 0), ERRORS["false negative"], 0.75)
    _paint(picture, (annotated == 0) & (predicted != 0), ERRORS["false positive"], 0.75)
    _paint(picture, wrong_label, ERRORS["wrong label"], 0.75)
    return picture


def _paint(picture: np.ndarray, region: np.ndarray, colour: Colour, fill: float = FILL) -> None:
    """Tint a region and draw its inner edge."""
    from scipy.ndimage import binary_erosion

    edge = region & ~binary_erosion(region, iterations=2)
    picture[region] = (1 - fill) * picture[region] + fill * np.array(colour)
    picture[edge] = colour


def _png(picture: np.ndarray) -> bytes:
    """Return a paletted PNG: a quarter of the bytes, and no difference to be seen."""
    from PIL import Image

    image = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    stored = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    return stored.getvalue()
