"""Sagittal slices at half the resolution, for a first look."""

from dataclasses import replace

from autospine.preprocessing.grid import Grid
from planners.sagittal_2d import Sagittal2D


class CoarseSagittal(Sagittal2D):
    """What --plans 2d_coarse does."""

    name = "2d_coarse"
    batch = 8

    def choose_grid(self) -> Grid:
        """Twice the median spacing in-plane; the slices stay."""
        grid = super().choose_grid()
        slices, rows, columns = grid.spacing
        self.reason("pixels of twice that size", "this plan is for a first look")
        return replace(grid, spacing=(slices, 2 * rows, 2 * columns))
