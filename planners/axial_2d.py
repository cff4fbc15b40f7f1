"""Axial slices, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.planning.plan import Plan, Triple
from autospine.planning.planner import Planner
from autospine.preprocessing.grid import Grid, case_grid

ACROSS, IN_PLANE = 0.25, 0.02  # a spacing within this share of the target is kept
MOST = 90  # per cent of the cases whose slices the patch holds from side to side


class Axial2D(Planner):
    """Axial slices of volumes of any orientation; every series keeps the slices that were measured.

    An axial slice cannot show the order of the levels. Each voxel therefore has an offset along the rows, to the height
    of its vertebra's centre, and decoding numbers the instances that those offsets form.
    """

    name = "2d_axial"
    view_axis = 1
    patch_limit = (320, 640, 320)

    def truly_axial(self) -> bool:
        """Return whether every series is coarsest from head to foot."""
        return all(case.slice_axis == 1 for case in self.cases)

    def offset_axes(self) -> tuple[int, ...]:
        """Return the rows alone: the order of the levels is along them."""
        return (1,)

    def choose_grid(self) -> Grid:
        """Keep each case's rows; take square pixels in-plane where that interpolates between no measured slices."""
        spacings = np.array([case.spacing for case in self.cases])  # (cases, 3)
        median = np.median(spacings, axis=0)
        axial = self.truly_axial()
        side = self.pixel_side(round(float(median[[0, 2]].min()), 4))
        self.reason(
            f"axial slices of {side:g} mm pixels"
            if axial
            else f"axial slices with pixels of {side:g} mm from front to back",
            "the series is axial: its slices are kept"
            if axial
            else "slices are cut across measured ones: each series keeps its own grid from left to right, and its rows",
            f"median spacing {' x '.join(f'{v:.2f}' for v in median)} mm",
        )
        if axial:
            return Grid((side, None, side), tolerance=(IN_PLANE, ACROSS, IN_PLANE))
        return Grid((None, None, side))

    def choose_patch(self, grid: Grid) -> Triple:
        """Take the whole width from side to side of most cases, and the column's depth with context."""
        shapes = np.array([self.shape_on(grid, case) for case in self.cases])  # (cases, 3)
        columns = min(self.column_width(grid), int(shapes[:, 2].max()))
        patch = self.limit((_of_most(shapes[:, 0]), 1, columns))
        self.reason(
            f"a view of {' x '.join(str(v) for v in patch)} voxels",
            "the slice from side to side, and the column's depth with context"
            if patch[0] >= shapes[:, 0].max()
            else f"from side to side what {MOST} % of the cases have, {self.patch_limit[0]} voxels at most; and the "
            "column's depth with context",
            f"{shapes[:, 0].min()} to {shapes[:, 0].max()} voxels from side to side",
        )
        return patch

    def fit_memory(self, plan: Plan) -> Plan:
        """Fit the memory as every planner does, and note which cases have wider slices than the patch."""
        fitted = super().fit_memory(plan)
        grids = [case_grid(plan.grid, case.shape, case.spacing) for case in self.cases]
        wider = [grid for grid in grids if grid.shape[0] > fitted.patch[0]]
        if wider:
            counts = [grid.shape[0] for grid in grids]
            widths = [fitted.patch[0] * grid.spacing[0] for grid in wider]
            self.reason(
                f"windows {_millimetres(widths)} wide for {len(wider)} of {len(grids)} cases",
                self._why_windows(fitted.patch[0], counts),
                f"up to {max(counts)} voxels from side to side, {fitted.patch[0]} in the patch",
            )
        return fitted

    def _why_windows(self, width: int, counts: list[int]) -> str:
        """Explain why a patch is `width` voxels wide though some of the cases' `counts` are larger."""
        widest = min(max(counts), self.patch_limit[0])
        if width >= widest or width < _of_most(counts):
            return "the patch is as wide as its limit and the memory allow"
        return (
            "a patch that holds them would be padded for all others, and every update take "
            f"{widest / width:.2g} times as long or more; in a data set of their own they get a wider one"
        )


def _of_most(counts: Sequence[int] | np.ndarray) -> int:
    """Return the voxels from side to side that all but the widest cases stay within."""
    return int(np.percentile(counts, MOST))


def _millimetres(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return f"{low} mm" if low == high else f"{low} to {high} mm"
