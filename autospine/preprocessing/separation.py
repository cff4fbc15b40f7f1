"""Vertebral bodies apart from the posterior elements, where masks hold whole vertebrae."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d, label

from autospine.metrics.components import FACES, connected_components

MIDDLE_MM = 5.0  # to either side of the canal's middle: there the canal lies between body and arch
SMOOTHING_MM = 3.0
TOLERANCE_MM = 1.0  # a body may touch the canal
GREATEST_RATIO = 1.9  # of a body's depth to its height; a longer structure holds the posterior elements too
LEAST_ARCH_SHARE = 0.25  # of a slice's voxels, for a slice to show body and arch apart


def canal_front(canal: np.ndarray, spacing: Sequence[float]) -> np.ndarray | None:
    """Return, row by row, the column at which the canal begins in its middle slices.

    Args:
        canal: Boolean (slices, rows, columns).
        spacing: mm along each axis.

    Returns:
        (rows,) columns, NaN above and below the canal; None without a canal.
    """
    rows_with_canal = np.flatnonzero(canal.any(axis=(0, 2)))
    if len(rows_with_canal) == 0:
        return None
    slices = np.arange(canal.shape[0])[:, None]
    weights = canal[:, rows_with_canal].sum(axis=2)  # (slices, rows)
    middle = (weights * slices).sum(axis=0) / weights.sum(axis=0)  # (rows,)
    central = (np.abs(slices - middle) * spacing[0] <= max(MIDDLE_MM, spacing[0] / 2)) & (weights > 0)
    start = canal[:, rows_with_canal].argmax(axis=2)  # (slices, rows)
    count = central.sum(axis=0)
    mean = np.where(count > 0, (start * central).sum(axis=0) / np.maximum(count, 1), np.nan)
    rows = np.arange(rows_with_canal[0], rows_with_canal[-1] + 1)
    front = np.full(canal.shape[1], np.nan)
    complete = np.interp(rows, rows_with_canal[count > 0], mean[count > 0])
    front[rows] = gaussian_filter1d(complete, SMOOTHING_MM / spacing[1], mode="nearest")
    return front


def separate_body(vertebra: np.ndarray, front: np.ndarray | None, spacing: Sequence[float]) -> np.ndarray | None:
    """Return a vertebra's body.

    Args:
        vertebra: Boolean (slices, rows, columns), a crop.
        front: Where the canal begins in the crop's rows and columns (see `canal_front`), or None.
        spacing: mm along each axis.

    Returns:
        Boolean, the same shape: what lies before the canal, or, without a canal, before the gap in the slices
        that show body and arch apart; None where the two cannot be told apart.
    """
    rows = np.flatnonzero(vertebra.any(axis=(0, 2)))
    if front is None or np.isnan(front[rows]).mean() > 0.5:
        height, depth = (np.ptp(np.flatnonzero(vertebra.any(axis=axes))) + 1 for axes in ((0, 2), (0, 1)))
        if depth * spacing[2] <= GREATEST_RATIO * height * spacing[1]:
            return vertebra
        front = _gap_front(vertebra)
        if front is None:
            return None
    known_rows = np.flatnonzero(~np.isnan(front))
    wall = np.interp(np.arange(len(front)), known_rows, front[known_rows])
    body = vertebra & (np.arange(vertebra.shape[2]) < wall[:, None] + TOLERANCE_MM / spacing[2])
    return largest_component(body) if body.any() else None


def _gap_front(vertebra: np.ndarray) -> np.ndarray | None:
    """Return where the gap behind the body begins, by rows, from the slices that fall into body and arch."""
    ends = np.full(vertebra.shape[1], -np.inf)
    for plane in vertebra:
        components, count = label(plane)
        if count < 2:
            continue
        sizes = np.bincount(components.ravel())
        columns = [np.argwhere(components == number)[:, 1].mean() for number in range(1, count + 1)]
        first = 1 + int(np.argmin(np.where(sizes[1:] >= LEAST_ARCH_SHARE * sizes[1:].max(), columns, np.inf)))
        behind = sum(sizes[number] for number in range(1, count + 1) if columns[number - 1] > columns[first - 1])
        if behind < LEAST_ARCH_SHARE * sizes[first] / 2:
            continue
        body = components == first
        body_rows = body.any(axis=1)
        last = body.shape[1] - body[:, ::-1].argmax(axis=1)
        ends = np.maximum(ends, np.where(body_rows, last, -np.inf))
    if not np.isfinite(ends).any():
        return None
    return np.where(np.isfinite(ends), ends, np.nan)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected component of a boolean mask."""
    components, _ = connected_components(mask, FACES)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()
