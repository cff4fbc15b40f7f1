"""Flat views of a labelled scan for pictures: sagittal slices and a coronal sheet that follows the spine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autospine.metrics.surface import bounding_box

if TYPE_CHECKING:
    import numpy as np

MARGIN_MM = (25.0, 30.0)  # around the labels: rows, columns
CORONAL_MARGIN_MM = 15.0
CORONAL_SLICES, CORONAL_WIDTH_MM = 8, 30.0  # less than that and a coronal view shows nothing
QUANTILES = (0.12, 0.5, 0.85)  # of the labelled voxels, from the right to the left
DEPTH = 0.4  # of a row's labelled columns from the front: within the vertebral bodies
SMOOTHING_MM = 8.0


@dataclass(frozen=True)
class View:
    """A picture of part of a scan.

    Attributes:
        image: (rows, columns or slices) intensities.
        mask: The same shape, labels.
        spacing: mm along both axes.
        title: What it shows.
        sides: What lies at its left and right edge, as letters.
    """

    image: np.ndarray
    mask: np.ndarray
    spacing: tuple[float, float]
    title: str
    sides: tuple[str, str]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width in mm."""
        return self.image.shape[0] * self.spacing[0], self.image.shape[1] * self.spacing[1]


def find_views(image: np.ndarray, mask: np.ndarray, spacing: Sequence[float]) -> list[View]:
    """Chooses what to show.

    Args:
        image: (slices, rows, columns).
        mask: The same shape; 0 is background.
        spacing: mm along each axis.

    Returns:
        Up to three sagittal slices through the labels (the middle slice if nothing is labelled), cropped
        around them, and a coronal view if the scan is wide enough for one.
    """
    box = bounding_box(mask != 0)
    rows, columns = _crop(box, image.shape, spacing)
    views = [
        View(
            image[index, rows, columns],
            mask[index, rows, columns],
            (spacing[1], spacing[2]),
            f"slice {index + 1} of {image.shape[0]}",
            ("A", "P"),
        )
        for index in choose_slices(mask)
    ]
    wide = image.shape[0] >= CORONAL_SLICES and image.shape[0] * spacing[0] >= CORONAL_WIDTH_MM
    if box is not None and wide:
        views.append(_coronal(image, mask, spacing, rows))
    return views


def choose_slices(mask: np.ndarray) -> tuple[int, ...]:
    """Sagittal slices right, amid and left among the labelled voxels; the middle one of an empty mask."""
    import numpy as np

    voxels = (mask != 0).sum(axis=(1, 2))  # (slices,)
    if not voxels.any():
        return (mask.shape[0] // 2,)
    share = np.cumsum(voxels) / voxels.sum()
    return tuple(sorted({int(np.searchsorted(share, quantile)) for quantile in QUANTILES}))


def _crop(box: tuple[slice, ...] | None, shape: Sequence[int], spacing: Sequence[float]) -> tuple[slice, slice]:
    """Rows and columns around the labels."""
    if box is None:
        return slice(0, shape[1]), slice(0, shape[2])
    found = []
    for axis, margin in zip((1, 2), MARGIN_MM, strict=True):
        room = round(margin / spacing[axis])
        found.append(slice(max(box[axis].start - room, 0), min(box[axis].stop + room, shape[axis])))
    return found[0], found[1]


def _coronal(image: np.ndarray, mask: np.ndarray, spacing: Sequence[float], rows: slice) -> View:
    """A sheet of all slices at, row by row, the depth of the vertebral bodies."""
    import numpy as np

    depth = _depths(mask, spacing)[rows]  # (rows shown,)
    which = np.arange(rows.start, rows.stop)
    sheet, labels = image[:, which, depth].T, mask[:, which, depth].T  # (rows shown, slices)
    shown = np.flatnonzero((mask != 0).any(axis=(1, 2)))
    room = round(CORONAL_MARGIN_MM / spacing[0])
    part = slice(max(int(shown[0]) - room, 0), int(shown[-1]) + 1 + room)
    return View(sheet[:, part], labels[:, part], (spacing[1], spacing[0]), "coronal", ("R", "L"))


def _depths(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """For each row the column where the vertebral bodies lie, smoothed along the spine."""
    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    columns = (mask != 0).sum(axis=0)  # (rows, columns)
    known = np.flatnonzero(columns.any(axis=1))
    share = np.cumsum(columns[known], axis=1) / columns[known].sum(axis=1, keepdims=True)
    found = (share >= DEPTH).argmax(axis=1)
    every = np.interp(np.arange(mask.shape[1]), known, found)
    smooth = gaussian_filter1d(every, SMOOTHING_MM / spacing[1], mode="nearest")
    return np.clip(np.rint(smooth).astype(int), 0, mask.shape[2] - 1)
