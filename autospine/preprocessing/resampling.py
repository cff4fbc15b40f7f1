"""Resample masks label by label."""

from __future__ import annotations

import numpy as np

from autospine.fingerprint.statistics import label_boxes
from autospine.volumes.resampling import resample_axis, source_positions


def resize_labels(mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Labels on another grid: each label's share of a voxel is interpolated, the largest of at least half wins.

    Args:
        mask: `(slices, rows, columns)` non-negative integers.
        shape: Of the result.

    Returns:
        Same integer type.
    """
    if mask.shape == tuple(shape):
        return mask
    result = np.zeros(shape, mask.dtype)
    best = np.full(shape, 0.5, np.float32)
    for value, box in label_boxes(mask):
        target, share = _share_of_label(mask, value, box, shape)
        wins = share >= best[target]
        result[target][wins] = value
        best[target][wins] = share[wins]
    return result


def _share_of_label(
    mask: np.ndarray, value: int, box: tuple[slice, ...], shape: tuple[int, int, int]
) -> tuple[tuple[slice, ...], np.ndarray]:
    """One label's share on the new grid, only where it can be above zero."""
    source, target, places = [], [], []
    for part, old, new in zip(box, mask.shape, shape, strict=True):
        reach = 1 + int(np.ceil(old / new))
        low, high = max(part.start - reach, 0), min(part.stop + reach, old)
        positions = source_positions(old, new)
        inside = np.flatnonzero((positions > low - 1) & (positions < high))
        source.append(slice(low, high))
        target.append(slice(int(inside[0]), int(inside[-1]) + 1))
        places.append(positions[inside] - low)
    share = (mask[tuple(source)] == value).astype(np.float32)
    for axis, (positions, old, new) in enumerate(zip(places, mask.shape, shape, strict=True)):
        if old != new:
            share = resample_axis(share, axis, positions, old / new)
        else:
            share = share.take(np.round(positions).astype(np.intp), axis=axis)
    return tuple(target), share
