"""Slices of volumes as PNG pairs of one size, as Ahmed et al. 2024 made their data set.

Every volume is turned by its header, so that no slice lies on its side or upside down. A slice keeps its aspect in mm:
it is scaled by one factor until it just fits, and the rest is black. That is the transform `fit`, so that the
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

AXES = ("slices", "rows", "columns")
FOLDERS = IMAGES, MASKS, COLOURS = ("images", "masks", "colours")
LOW, HIGH = 0.5, 99.5  # percentiles of a series that become black and white
WHITE = 255
BLEND = 0.45  # share of the colour in a preview
PNG = {"compress_level": 4}
CHUNK = 32  # slices at once: axial ones of a sagittal series are many and grow a lot


@dataclass(frozen=True)
class Plane:
    """A plane of slices, as pictures."""

    axis: int  # canonical axis along which the slices lie
    down: int  # canonical axis that runs down the picture
    across: int  # canonical axis that runs from its left to its right

    def picture(self, volume: np.ndarray, index: int) -> np.ndarray:
        """Return the `(down, across)` slice of a `(slices, rows, columns)` volume."""
        picture = volume.take(index, axis=self.axis)
        return picture if self.down < self.across else picture.T


# Sagittal: head up, front on the left. Axial: front up; coronal: head up; both with the patient's right on the left.
PLANES = {"sagittal": Plane(0, 1, 2), "axial": Plane(1, 2, 0), "coronal": Plane(2, 1, 0)}


@dataclass(frozen=True)
class SlicesRequest:
    """What autospine_slices is asked.

    Attributes:
        dataset: Folder with images/ and masks/.
        output: Folder for images/, masks/ and the index.
        size: Width and height of the pictures, in pixels.
        labels: Label scheme of the PNG masks.
        mask_labels: That of the scans' masks; None takes what dataset.json says, else spider.
        plane: "sagittal", "axial" or "coronal".
        rules: Rules of mask cleaning; None leaves masks as they are.
        filtered: Write only slices that the slice filter keeps.
        max_ratio: Of the filter, the largest class weight ratio.
        colours: Write coloured previews, too.
        workers: Processes at once; 0 is one per core.
    """

    dataset: Path
    output: Path
    size: tuple[int, int] = (512, 640)
    labels: str = "semantic4"
    mask_labels: str | None = None
    plane: str = "sagittal"
    rules: RuleSet | None = None
    filtered: bool = False
    max_ratio: float = MAX_RATIO
    colours: bool = False
    workers: int = 0


@dataclass(frozen=True)
class SliceJob:
    """One case to be written as slices."""

    case: Case  # with a mask; of several channels the first is taken
    scheme: LabelScheme  # what the mask's integers mean
    target: LabelScheme  # scheme of the masks that are written
    request: SlicesRequest  # how to write them, and where


@dataclass(frozen=True)
class SliceRow:
    """A row of the index."""

    case: Case
    result: SliceFilterResult  # of the filter, on the picture as it is written
    written: bool  # whether the picture was

    @property
    def name(self) -> str:
        """Return the picture's file name."""
        return f"{self.case.id}_{self.result.index:03d}.png"

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the row's cells, under `COLUMNS`."""
        shown = " ".join(name for name, n in zip(CLASS_NAMES, self.result.voxels, strict=True) if n)
        _, *figures, ratio, kept, reason = self.result.cells
        names = (f"{IMAGES}/{self.name}", f"{MASKS}/{self.name}") if self.written else ("", "")
        case = (self.case.id, self.case.patient, self.case.sequence, self.case.subset)
        return *case, str(self.result.index), shown, *figures, ratio, kept, reason, *names


COLUMNS = (
    *("id", "patient", "sequence", "subset", "slice", "classes", *CLASS_NAMES),
    *("ratio", "kept", "reason", "image", "mask"),
)


def extract(job: SliceJob) -> list[SliceRow]:
    """Write the slices of one case.

    Returns:
        A row for each slice, those that the filter drops included.

    Raises:
        UserError: A file cannot be read or written, image and mask lie on different grids, the image is constant, or
            the mask holds labels that the schemes lack or that are too large for eight bits.
    """
    image, mask, spacing = _read(job.case, job.scheme)
    rows: list[SliceRow] = []
    axis = PLANES[job.request.plane].axis
    for first in range(0, mask.shape[axis], CHUNK):
        chunk = tuple(slice(first, first + CHUNK) if a == axis else slice(None) for a in range(3))
        grey, labels = _fit(image[chunk], mask[chunk], spacing, job.request)
        rows += _write(job, grey, labels, first)
    return rows


def _read(case: Case, scheme: LabelScheme) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Return the image from 0 to 255, the mask in its own labels, and their spacing."""
    if case.mask is None:
        raise UserError(case.id, "has no mask", "extract slices of annotated cases")
    image, mask = volumes.read_image(case.images[0]), volumes.read_mask(case.mask, scheme.negative)
    verify.check_grids(case, [image.geometry], mask.geometry)
    low, high = np.percentile(image.array, (LOW, HIGH))
    if low == high:  # one bright spot in the dark, say
        low, high = float(image.array.min()), float(image.array.max())
    problems = verify.intensity_problems(case.images[0], float(low), float(high))
    if problems:
        raise problems[0]
    return np.clip((image.array - low) * (WHITE / (high - low)), 0, WHITE), mask.array, image.spacing


def _fit(
    image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float], request: SlicesRequest
) -> tuple[np.ndarray, np.ndarray]:
    """Return grey values and labels of whole slices in pictures of the wanted size, square pixels, black around."""
    plane, (width, height) = PLANES[request.plane], request.size
    counts = {AXES[plane.down]: float(height), AXES[plane.across]: float(width)}
    case = CaseData(image[None], mask, spacing, view_axis=plane.axis)
    fitted = Fit(**counts, zero=1).for_case(case).apply(case)
    grey = np.clip(np.rint(fitted.image[0]), 0, WHITE).astype(np.uint8)
    return grey, mask if fitted.mask is None else fitted.mask


def _write(job: SliceJob, grey: np.ndarray, labels: np.ndarray, first: int) -> list[SliceRow]:
    """Write some slices of a case; `first` is the index of the first of them."""
    request, scheme, mask_file = job.request, job.scheme, str(job.case.mask)
    if request.rules is not None:
        labels = clean_labels(labels, scheme, request.rules, mask_file).mask
    plane = PLANES[request.plane]
    counts = class_counts(labels, scheme, plane.axis)
    results = filter_slices(counts, request.max_ratio, shown_classes(scheme, scheme.anatomies))
    labels = conversion(scheme, job.target).apply(labels, mask_file)
    if labels.max(initial=0) > WHITE:
        problem = f"gives the label {labels.max()}, too large for eight bits"
        raise UserError(mask_file, problem, "choose another scheme with --labels")
    rows = []
    for index, result in enumerate(results):
        row = SliceRow(job.case, replace(result, index=first + index), result.kept or not request.filtered)
        if row.written:
            picture = plane.picture(grey, index)
            classes = plane.picture(labels, index).astype(np.uint8)
            write_png(request.output / IMAGES / row.name, picture)
            write_png(request.output / MASKS / row.name, classes)
            if request.colours:
                write_png(request.output / COLOURS / row.name, coloured(picture, classes, job.target))
        rows.append(row)
    return rows


def coloured(picture: np.ndarray, classes: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """Return the picture with the labels' colours over it, `(rows, columns, 3)` uint8."""
    result = np.repeat(picture[..., None].astype(np.float32), 3, axis=2)
    for value, anatomy in scheme.anatomies.items():
        inside = classes == value
        result[inside] = (1 - BLEND) * result[inside] + BLEND * WHITE * np.array(colour_of(anatomy), np.float32)
    return result.astype(np.uint8)


def write_png(path: Path, array: np.ndarray) -> None:
    """Write a picture of uint8, grey or RGB, atomically."""
    from PIL import Image

    write_with(path, lambda temporary: Image.fromarray(array).save(temporary, format="PNG", **PNG))
