"""Resample masks label by label."""

from __future__ import annotations

import numpy as np

from autospine.fingerprint.statistics import label_boxes
from autospine.volumes.resampling import resample_axis, source_positions


def resize_labels(mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Resample labels: each label's share of a voxel is interpolated, the largest of at least half wins.

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
    """Return where one label's share on the new grid can be above zero, and that share."""
    source, target, positions = [], [], []
    for side, old, new in zip(box, mask.shape, shape, strict=True):
        reach = 1 + int(np.ceil(old / new))
        low, high = max(side.start - reach, 0), min(side.stop + reach, old)
        along = source_positions(old, new)
        inside = np.flatnonzero((along > low - 1) & (along < high))
        source.append(slice(low, high))
        target.append(slice(int(inside[0]), int(inside[-1]) + 1))
        positions.append(along[inside] - low)
    share = (mask[tuple(source)] == value).astype(np.float32)
    for axis, (along, old, new) in enumerate(zip(positions, mask.shape, shape, strict=True)):
        if old != new:
            share = resample_axis(share, axis, along, old / new)
        else:
            share = share.take(np.round(along).astype(np.intp), axis=axis)
    return tuple(target), share
