"""Stages of a network for a patch: where to pool, and with which kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMALLEST_SIDE = 4  # voxels at the coarsest stage
MOST_STAGES = 7

Stages = tuple[tuple[int, ...], ...]


def stages(patch: Sequence[int], spacing: Sequence[float]) -> tuple[Stages, Stages]:
    """Pool an axis while its spacing is within twice the finest and its size allows (after nnU-Net).

    Args:
        patch: Voxels along the network's axes.
        spacing: mm along the same.

    Returns:
        Kernels and strides of each stage, two stages at least.
    """
    fine, size = np.array(spacing, float), np.array(patch)
    kernels, strides = [_kernel(fine)], [(1,) * len(size)]
    while len(strides) < MOST_STAGES:
        pool = (fine <= 2 * fine.min()) & (size >= 2 * SMALLEST_SIDE)
        if not pool.any() or int(np.prod(size)) <= 8 * SMALLEST_SIDE ** len(size):
            if len(strides) > 1:
                break
            pool = size == size.max()  # a tiny patch: two stages are the fewest
        step = np.where(pool, 2, 1)
        fine, size = fine * step, np.ceil(size / step).astype(int)
        strides.append(tuple(int(v) for v in step))
        kernels.append(_kernel(fine))
    return tuple(kernels), tuple(strides)


def _kernel(spacing: np.ndarray) -> tuple[int, ...]:
    """Return 3 along an axis, 1 while the axis is more than twice as coarse as the finest."""
    return tuple(3 if v <= 2 * spacing.min() else 1 for v in spacing)
