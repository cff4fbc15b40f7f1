"""Slices of volumes as PNG pairs of one size, as Ahmed et al. 2024 made their data set.

Every volume is turned by its header, so that no slice lies on its side or upside down. A slice keeps its aspect in mm:
it is scaled by one factor until it just fits, and the rest is black. That is the recipe's step `fit`, so that the
pictures are what `modified_unet` sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autospine import volumes
from autospine.cleaning.clean import RuleSet, clean_labels
from autospine.core.errors import UserError
from autospine.core.files import write_with
from autospine.dataset import verify
from autospine.dataset.cases import Case
from autospine.fingerprint.slice_filter import (
    CLASS_NAMES,
    MAX_RATIO,
    SliceFilterResult,
    class_counts,
    filter_slices,
    shown_classes,
)
from autospine.labels.conversion import conversion
from autospine.labels.schemes import LabelScheme
from autospine.overlay.colours import colour_of
from autospine.preprocessing.transforms.base import CaseData
from autospine.preprocessing.transforms.spatial import Fit
from autospine.slices.planes import PLANES

AXES = ("slices", "rows", "columns")
PARTS = IMAGES, MASKS, COLOURS = ("images", "masks", "colours")
LOW, HIGH = 0.5, 99.5  # percentiles of a series that become black and white
WHITE = 255
BLEND = 0.45  # share of the colour in a preview
PNG = {"compress_level": 4}
AT_ONCE = 32  # slices: axial ones of a sagittal series are many and grow a lot


@dataclass(frozen=True)
class SliceSettings:
    """How slices are cut.

    Attributes:
        size: Columns and rows of the pictures: width, height.
        plane: "sagittal", "axial" or "coronal".
        target: Scheme of the masks that are written.
        rules: Rules of mask cleaning; None leaves masks as they are.
        filtered: Write only slices that the slice filter keeps.
        max_ratio: Of the filter.
        colours: Write coloured previews, too.
    """

    size: tuple[int, int]
    plane: str
    target: LabelScheme
    rules: RuleSet | None = None
    filtered: bool = False
    max_ratio: float = MAX_RATIO
    colours: bool = False


@dataclass(frozen=True)
class SliceRow:
    """A row of the index.

    Attributes:
        case: The case.
        result: Of the filter, on the picture as it is written.
        written: Whether the picture was.
    """

    case: Case
    result: SliceFilterResult
    written: bool

    @property
    def name(self) -> str:
        """The picture's file name."""
        return f"{self.case.id}_{self.result.index:03d}.png"

    @property
    def cells(self) -> tuple[str, ...]:
        """Under `COLUMNS`."""
        shown = " ".join(name for name, n in zip(CLASS_NAMES, self.result.voxels, strict=True) if n)
        _, *figures, ratio, kept, reason = self.result.cells
        names = (f"{IMAGES}/{self.name}", f"{MASKS}/{self.name}") if self.written else ("", "")
        case = (self.case.id, self.case.patient, self.case.sequence, self.case.subset)
        return *case, str(self.result.index), shown, *figures, ratio, kept, reason, *names


COLUMNS = (
    *("id", "patient", "sequence", "subset", "slice", "classes", *CLASS_NAMES),
    *("ratio", "kept", "reason", "image", "mask"),
)


def extract(case: Case, scheme: LabelScheme, settings: SliceSettings, output: Path) -> list[SliceRow]:
    """Writes the slices of one case.

    Args:
        case: With a mask; of several channels the first is taken.
        scheme: What the mask's integers mean.
        settings: How to cut.
        output: Gets images/ and masks/, and colours/ if asked for.

    Returns:
        A row for each slice, those that the filter drops included.

    Raises:
        UserError: A file cannot be read or written, image and mask lie on different grids, the image is constant, or
            the mask holds labels that the schemes lack or that are too large for eight bits.
    """
    image, mask, spacing = _read(case)
    rows: list[SliceRow] = []
    axis = PLANES[settings.plane].axis
    for first in range(0, mask.shape[axis], AT_ONCE):
        part = tuple(slice(first, first + AT_ONCE) if a == axis else slice(None) for a in range(3))
        grey, labels = _fit(image[part], mask[part], spacing, settings)
        rows += _write(case, scheme, settings, output, grey, labels, first)
    return rows


def _read(case: Case) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Image from 0 to 255, mask in its own labels, and their spacing."""
    if case.mask is None:
        raise UserError(case.id, "has no mask", "cut slices of annotated cases")
    image, mask = volumes.read_image(case.images[0]), volumes.read_mask(case.mask)
    verify.check_grids(case, [image.geometry], mask.geometry)
    low, high = np.percentile(image.array, (LOW, HIGH))
    if low == high:  # one bright spot in the dark, say
        low, high = float(image.array.min()), float(image.array.max())
    problems = verify.intensity_problems(case.images[0], float(low), float(high))
    if problems:
        raise problems[0]
    return np.clip((image.array - low) * (WHITE / (high - low)), 0, WHITE), mask.array, image.spacing


def _fit(
    image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float], settings: SliceSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Square pixels, whole slices in pictures of the wanted size, black around them: grey values and labels."""
    plane, (width, height) = PLANES[settings.plane], settings.size
    counts = {AXES[plane.down]: float(height), AXES[plane.across]: float(width)}
    case = CaseData(image[None], mask, spacing, view_axis=plane.axis)
    step = Fit(**counts, zero=1).for_case(case)
    fitted = step.apply(case)
    grey = np.clip(np.rint(fitted.image[0]), 0, WHITE).astype(np.uint8)
    return grey, mask if fitted.mask is None else fitted.mask


def _write(
    case: Case,
    scheme: LabelScheme,
    settings: SliceSettings,
    output: Path,
    grey: np.ndarray,
    labels: np.ndarray,
    first: int,
) -> list[SliceRow]:
    """Writes some slices of a case; `first` is the index of the first of them."""
    if settings.rules is not None:
        labels = clean_labels(labels, scheme, settings.rules, str(case.mask)).mask
    plane = PLANES[settings.plane]
    counts = class_counts(labels, scheme, plane.axis)
    results = filter_slices(counts, settings.max_ratio, shown_classes(scheme, scheme.anatomies))
    labels = conversion(scheme, settings.target).apply(labels, str(case.mask))
    if labels.max(initial=0) > WHITE:
        problem = f"gives the label {labels.max()}, too large for eight bits"
        raise UserError(str(case.mask), problem, "choose another scheme with --labels")
    rows = []
    for index, result in enumerate(results):
        keep = result.kept or not settings.filtered
        row = SliceRow(case, replace(result, index=first + index), keep)
        if row.written:
            picture = plane.picture(grey, index)
            classes = plane.picture(labels, index).astype(np.uint8)
            write_png(output / IMAGES / row.name, picture)
            write_png(output / MASKS / row.name, classes)
            if settings.colours:
                write_png(output / COLOURS / row.name, coloured(picture, classes, settings.target))
        rows.append(row)
    return rows


def coloured(picture: np.ndarray, classes: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """The labels' colours over the picture.

    Args:
        picture: `(rows, columns)` uint8.
        classes: The same shape, integers of the scheme.
        scheme: What they mean.

    Returns:
        `(rows, columns, 3)` uint8.
    """
    result = np.repeat(picture[..., None].astype(np.float32), 3, axis=2)
    for value, anatomy in scheme.anatomies.items():
        inside = classes == value
        result[inside] = (1 - BLEND) * result[inside] + BLEND * WHITE * np.array(colour_of(anatomy), np.float32)
    return result.astype(np.uint8)


def write_png(path: Path, array: np.ndarray) -> None:
    """Writes a picture of uint8, grey or RGB, atomically."""
    from PIL import Image

    write_with(path, lambda place: Image.fromarray(array).save(place, format="PNG", **PNG))
