"""Resample arrays linearly, axis by axis (an axis whose size stays is left alone), and masks onto another grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autospine.volumes.volume import Volume


def resized_shape(shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...]) -> tuple[int, ...]:
    """Return the voxels along each axis at another spacing, the extent in mm kept as nearly as whole voxels allow."""
    return tuple(max(round(n * old / new), 1) for n, old, new in zip(shape, spacing, target, strict=True))


def source_positions(old: int, new: int) -> np.ndarray:
    """Return `(new,)` where each new voxel's centre lies among the old ones, in voxels."""
    return (np.arange(new) + 0.5) * old / new - 0.5


def resize(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resample onto another number of voxels over the same extent.

    Args:
        array: Any dimension.
        shape: Voxels along the last `len(shape)` axes.

    Returns:
        float32 array; where an axis shrinks, values are averaged over what a new voxel covers.
    """
    result = array if array.dtype == np.float32 else array.astype(np.float32)
    for axis, size in enumerate(shape, start=array.ndim - len(shape)):
        old = result.shape[axis]
        if old != size:
            result = resample_axis(result, axis, source_positions(old, size), old / size)
    return result


def resample_axis(array: np.ndarray, axis: int, positions: np.ndarray, step: float) -> np.ndarray:
    """Read values at `positions` (in voxels) along one axis; edges are repeated.

    Args:
        array: float32.
        axis: Along which.
        positions: `(new,)`.
        step: Old voxels per new one; above 1 a triangle filter of that width prevents aliasing.
    """
    if step > 1:
        return _average_axis(array, axis, positions, step)
    old = array.shape[axis]
    position = np.clip(positions, 0, old - 1)
    low = np.floor(position).astype(np.intp)
    share = (position - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    below = array.take(low, axis=axis)
    above = array.take(np.minimum(low + 1, old - 1), axis=axis)
    above -= below
    above *= share
    above += below
    return above


def onto_grid(mask: Volume, target: Volume) -> Volume:
    """Bring a mask to another grid in the same space: each voxel gets the label of the nearest one, 0 outside."""
    from scipy.ndimage import affine_transform

    matrix = np.linalg.inv(mask.canonical_affine()) @ target.canonical_affine()  # target's voxels to the mask's
    labels = affine_transform(mask.array, matrix, output_shape=target.array.shape, order=0)
    return replace(target, array=labels, path=mask.path, negative=mask.negative)


def _average_axis(array: np.ndarray, axis: int, positions: np.ndarray, step: float) -> np.ndarray:
    """Sum the few old voxels below each new one's triangle, one of them after the other."""
    first = np.ceil(positions - step).astype(np.intp)  # (new,)
    old = first[None] + np.arange(int(2 * step) + 1)[:, None]  # (taps, new)
    weights = np.clip(1 - np.abs(old - positions) / step, 0, None)
    weights[(old < 0) | (old >= array.shape[axis])] = 0
    weights = (weights / np.maximum(weights.sum(axis=0), 1e-6)).astype(np.float32)
    old = np.clip(old, 0, array.shape[axis] - 1)
    across = [-1 if a == axis else 1 for a in range(array.ndim)]
    total = array.take(old[0], axis=axis) * weights[0].reshape(across)
    for indices, weight in zip(old[1:], weights[1:], strict=True):
        weighted = array.take(indices, axis=axis)
        weighted *= weight.reshape(across)
        total += weighted
    return total
