"""Masks between annotated slices."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from autospine.reconstruction.grid import SliceGrid

Rule = Literal["aligned", "box"]
RULES: tuple[Rule, ...] = get_args(Rule)


def rebuild_mask(
    mask: np.ndarray, grid: SliceGrid, spacing: tuple[float, float, float], rule: Rule = "aligned"
) -> np.ndarray:
    """Fills in the labels between the measured slices, which come back voxel for voxel.

    Args:
        mask: `(slices, rows, columns)` non-negative integers, measured slices.
        grid: `plan_slices`'s answer for them.
        spacing: mm along (slices, rows, columns) of `mask`.
        rule: "aligned" or "box".

    Returns:
        `(grid.count, rows, columns)`, same integer type.

    Raises:
        ValueError: The mask has another number of slices than the grid says.
    """
    if mask.shape[0] != grid.measured:
        raise ValueError(f"{mask.shape[0]} slices do not fit a grid of {grid.measured} measured ones")
    nearest = np.arange(grid.count) + grid.parts // 2
    return mask[nearest // grid.parts]
