"""Axial slices, one by one."""

from __future__ import annotations

import numpy as np

from autospine.planning.plan import Grid, Triple
from autospine.planning.planner import Planner


class Axial2D(Planner):
    """Axial slices of volumes of any orientation; every series keeps the slices that were measured.

    An axial slice cannot show the order of the levels. Each voxel therefore also points along the rows, to the
    height of its vertebra's middle, and the decode numbers what gathers there.
    """

    name = "2d_axial"
    view_axis = 1
    patch_limit = (320, 640, 320)

    def truly_axial(self) -> bool:
        """Whether every series is coarsest from head to foot."""
        return all(case.slice_axis == 1 for case in self.cases)

    def offset_axes(self) -> tuple[int, ...]:
        """Only the height above or below: the order of the levels is along the rows."""
        return (1,)

    def choose_grid(self) -> Grid:
        """Each case's own rows; square pixels in-plane where that interpolates between no measured slices."""
        spacings = np.array([case.spacing for case in self.cases])  # (cases, 3)
        median = np.median(spacings, axis=0)
        axial = self.truly_axial()
        side = self.pixel_spacing or round(float(median[[0, 2]].min()), 4)
        across = round(float(median[0]), 4) if axial else None
        self.reason(
            f"axial slices of {side:g} mm pixels",
            "the series is axial: its slices are kept"
            if axial
            else "slices are cut across measured ones: each series keeps its own grid from left to right, and its rows",
            f"median spacing {' x '.join(f'{v:.2f}' for v in median)} mm",
        )
        return Grid((across, None, side))

    def choose_patch(self, grid: Grid) -> Triple:
        """The whole width from side to side, and the column's depth with context."""
        shapes = np.array([self.shape_on(grid, case) for case in self.cases])  # (cases, 3)
        columns = min(self.column_width(grid), int(shapes[:, 2].max()))
        patch = self.limit((int(np.percentile(shapes[:, 0], 90)), 1, columns))
        self.reason(
            f"a view of {' x '.join(str(v) for v in patch)} voxels",
            "the slice from side to side, and the column's depth with context",
            f"{shapes[:, 0].min()} to {shapes[:, 0].max()} voxels from side to side",
        )
        return patch
