"""Flat views of a labelled scan for pictures: sagittal slices and a coronal sheet that follows the spine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from autospine.metrics.surface import bounding_box

MARGIN_MM = (25.0, 30.0)  # around the labels: rows, columns
CORONAL_MARGIN_MM = 15.0
CORONAL_SLICES, CORONAL_WIDTH_MM = 8, 30.0  # less than that and a coronal view shows nothing
QUANTILES = (0.12, 0.5, 0.85)  # of the labelled voxels, from the right to the left
DEPTH = 0.4  # of a row's labelled columns from the front: within the vertebral bodies
SMOOTHING_MM = 8.0


@dataclass(frozen=True)
class View:
    """A flat picture of part of a scan."""

    image: np.ndarray  # (rows, columns or slices) intensities
    mask: np.ndarray  # the same shape, labels
    spacing: tuple[float, float]  # mm along both axes
    title: str  # what it shows
    sides: tuple[str, str]  # what lies at its left and right edge, as letters

    @property
    def size_mm(self) -> tuple[float, float]:
        """Return height and width in mm."""
        return self.image.shape[0] * self.spacing[0], self.image.shape[1] * self.spacing[1]


def find_views(image: np.ndarray, mask: np.ndarray, spacing: Sequence[float]) -> list[View]:
    """Choose what to show.

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
    views = []
    for index in choose_slices(mask):
        title, part = f"slice {index + 1} of {image.shape[0]}", (index, rows, columns)
        views.append(View(image[part], mask[part], (spacing[1], spacing[2]), title, ("A", "P")))
    wide = image.shape[0] >= CORONAL_SLICES and image.shape[0] * spacing[0] >= CORONAL_WIDTH_MM
    if box is not None and wide:
        views.append(_coronal(image, mask, spacing, rows))
    return views


def choose_slices(mask: np.ndarray) -> tuple[int, ...]:
    """Return sagittal slices right, amid and left among the labelled voxels; the middle one of an empty mask."""
    voxels = (mask != 0).sum(axis=(1, 2))  # (slices,)
    if not voxels.any():
        return (mask.shape[0] // 2,)
    share = np.cumsum(voxels) / voxels.sum()
    return tuple(sorted({int(np.searchsorted(share, quantile)) for quantile in QUANTILES}))


def _crop(box: tuple[slice, ...] | None, shape: Sequence[int], spacing: Sequence[float]) -> tuple[slice, slice]:
    """Return the rows and columns around the labels."""
    if box is None:
        return slice(0, shape[1]), slice(0, shape[2])
    crop = []
    for axis, margin_mm in zip((1, 2), MARGIN_MM, strict=True):
        margin = round(margin_mm / spacing[axis])
        crop.append(slice(max(box[axis].start - margin, 0), min(box[axis].stop + margin, shape[axis])))
    return crop[0], crop[1]


def _coronal(image: np.ndarray, mask: np.ndarray, spacing: Sequence[float], rows: slice) -> View:
    """Return a sheet of all slices at, row by row, the depth of the vertebral bodies."""
    depth = _depths(mask, spacing)[rows]  # (rows shown,)
    indices = np.arange(rows.start, rows.stop)
    sheet, labels = image[:, indices, depth].T, mask[:, indices, depth].T  # (rows shown, slices)
    labelled = np.flatnonzero((mask != 0).any(axis=(1, 2)))
    margin = round(CORONAL_MARGIN_MM / spacing[0])
    part = slice(max(int(labelled[0]) - margin, 0), int(labelled[-1]) + 1 + margin)
    return View(sheet[:, part], labels[:, part], (spacing[1], spacing[0]), "coronal", ("R", "L"))


def _depths(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return for each row the column where the vertebral bodies lie, smoothed along the spine."""
    columns = (mask != 0).sum(axis=0)  # (rows, columns)
    known = np.flatnonzero(columns.any(axis=1))
    share = np.cumsum(columns[known], axis=1) / columns[known].sum(axis=1, keepdims=True)
    depths = np.interp(np.arange(mask.shape[1]), known, (share >= DEPTH).argmax(axis=1))  # (rows,)
    smooth = gaussian_filter1d(depths, SMOOTHING_MM / spacing[1], mode="nearest")
    return np.clip(np.rint(smooth).astype(int), 0, mask.shape[2] - 1)
