"""Sagittal slices a millimetre apart: those between the measured ones are interpolated.

After Pal et al., "Panoptic segmentation and labelling of lumbar spine vertebrae using modified attention U-Net".
"""

from __future__ import annotations

import numpy as np

from autospine.fingerprint.case import CaseFingerprint
from autospine.planning.planner import Planner
from autospine.preprocessing.grid import Grid, SliceInterpolation, case_grid


class SliceReconstruction(Planner):
    """Segment every sagittal slice, measured or interpolated, on its own; the measured ones are the prediction."""

    name = "slice_reconstruction"
    view_axis = 0
    slice_interpolation = SliceInterpolation()

    def through_plane_spacing(self, spacings: np.ndarray) -> float | None:
        """Keep the measured slices; `slice_interpolation` says what comes between them."""
        return None

    def choose_grid(self) -> Grid:
        """Plan in-plane as every sagittal plan; across, divide gaps into the nearest whole number of subdivisions."""
        grid = super().choose_grid()
        if grid.slice_interpolation is not None:
            self._explain_slices(grid, grid.slice_interpolation)
        return grid

    def _explain_slices(self, grid: Grid, slice_interpolation: SliceInterpolation) -> None:
        cases: dict[tuple[int, int], list[str]] = {}
        for case in self.cases:
            cases.setdefault(slice_counts(grid, case), []).append(case.id)
        counts = np.array([pair for pair, ids in cases.items() for _ in ids])  # (cases, 2)
        measured, interpolated = counts.mean(axis=0)
        self.reason(
            f"slices about every {slice_interpolation.spacing_mm:g} mm, {measured:.0f} measured + {interpolated:.0f} "
            f"interpolated slices per case on average ({slice_interpolation.method})",
            "a spine changes little from one millimetre to the next, so that there is more to learn from; the measured "
            f"slices stay as they are, all of them where gaps are below {1.5 * slice_interpolation.spacing_mm:g} mm",
            "; ".join(f"{m} + {r} in {', '.join(ids)}" for (m, r), ids in sorted(cases.items())),
        )


def slice_counts(grid: Grid, case: CaseFingerprint) -> tuple[int, int]:
    """Return the numbers of measured and interpolated slices of a case."""
    on_grid = case_grid(grid, case.shape, case.spacing)
    return len(on_grid.measured), on_grid.shape[0] - len(on_grid.measured)
