"""Finer slice grid: every measured gap divided into equal subdivisions, so that measured slices stay on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SliceGrid:
    """Measured slices and those interpolated between them."""

    measured: int  # slices of the scan
    gap_mm: float  # between their centres
    subdivisions: int  # new gaps per measured gap; 1 leaves the grid as it is

    @property
    def count(self) -> int:
        """Return the number of slices of the finer grid."""
        return (self.measured - 1) * self.subdivisions + 1

    @property
    def interpolated(self) -> int:
        """Return the number of slices that are not measured."""
        return self.count - self.measured

    @property
    def spacing_mm(self) -> float:
        """Return the mm between centres of the finer grid's slices."""
        return self.gap_mm / self.subdivisions

    @property
    def measured_indices(self) -> range:
        """Return the indices of the measured slices on the finer grid."""
        return range(0, self.count, self.subdivisions)


def plan_slices(measured: int, gap_mm: float, target_mm: float) -> SliceGrid:
    """Divide measured gaps (mm) into the whole number of subdivisions that comes nearest to the target.

    Measured slices stay on the grid, so 4.4 mm become 1.1 mm, not 1 mm. A gap below one and a half times
    the target stays as it is. One slice alone has no gaps and stays one slice.

    Raises:
        ValueError: An argument is out of its range.
    """
    if measured < 1:
        raise ValueError(f"{measured} slices")
    if not (gap_mm > 0 and target_mm > 0 and math.isfinite(gap_mm / target_mm)):
        raise ValueError(f"a gap of {gap_mm} mm cannot be divided into subdivisions of {target_mm} mm")
    subdivisions = 1 if measured == 1 else max(math.floor(gap_mm / target_mm + 0.5), 1)
    return SliceGrid(measured, gap_mm, subdivisions)


def measured_planes(values: np.ndarray, grid: SliceGrid, axis: int = 1) -> np.ndarray:
    """Return a view of the measured slices.

    Returns:
        The same with `grid.measured` slices.

    Raises:
        ValueError: `values` lie on another grid.
    """
    if values.shape[axis] != grid.count:
        raise ValueError(f"{values.shape[axis]} slices do not fit a grid of {grid.count}")
    picks: list[slice] = [slice(None)] * values.ndim
    picks[axis] = slice(None, None, grid.subdivisions)
    return values[tuple(picks)]
