"""Whole volumes in 3-D patches."""

from __future__ import annotations

import numpy as np

from autospine.core.errors import UserError
from autospine.planning.planner import Planner

FEWEST_SLICES = 4


class Volume3D(Planner):
    """Segment 3-D patches that hold all slices of a thick-slice series and the spine's whole length."""

    name = "3d_volume"
    view_axis = None
    widest = 320
    batch = 2
    smallest_batch = 1
    patch_limit = (48, 512, 256)
    coarser = (2.0, 2 * 2**0.5)

    def check(self) -> None:
        """Refuse series of few slices, which are no volumes."""
        super().check()
        flat = [case.id for case in self.cases if case.shape[0] < FEWEST_SLICES]
        if flat:
            raise UserError(flat[0], f"has fewer than {FEWEST_SLICES} slices", "plan 2d_sagittal instead")

    def through_plane_spacing(self, spacings: np.ndarray) -> float | None:
        """Take the median; a case within a quarter of it keeps its own slices."""
        target = round(float(np.median(spacings[:, 0])), 4)
        kept = int((np.abs(spacings[:, 0] - target) <= 0.25 * target).sum())
        self.reason(
            f"slices every {target:g} mm",
            "the median; a case within 25 % of it keeps its own slices, others are interpolated linearly",
            f"{kept} of {len(spacings)} cases keep theirs",
        )
        return target

    def patch_slices(self, shapes: np.ndarray) -> int:
        """Take nearly all slices of most cases."""
        return int(np.percentile(shapes[:, 0], 75))
