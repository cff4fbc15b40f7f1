from __future__ import annotations

import numpy as np
import pytest

from autospine.core.errors import UserError
from tests.contracts.planner import PlannerContract, case, some_cases


class TestVolume3D(PlannerContract):
    name = "3d_volume"
    coarser_mm = (1.2,)
    axes_in_view = (0, 1, 2)

    def test_slices_are_the_median_apart(self) -> None:
        plan = self.plan(*some_cases(3), case("9_t2", spacing=(2.0, 0.6, 0.6)))
        assert plan.grid.spacing[0] == 4.4
        assert plan.grid.spacing_for((2.0, 0.6, 0.6))[0] == 4.4

    @pytest.mark.parametrize("slices", [1, 3])
    def test_flat_scans_are_refused_by_name(self, slices: int) -> None:
        with pytest.raises(UserError, match=r"7_t2: has fewer than 4 slices; plan 2d_sagittal instead"):
            self.plan(*some_cases(), case("7_t2", shape=(slices, 450, 450)))

    def test_thick_slices_are_not_convolved_across_at_the_first_stage(self) -> None:
        assert self.plan().network.kernels[0] == (1, 3, 3)

    def test_isotropic_volumes_are_convolved_and_pooled_alike(self) -> None:
        plan = self.plan(*some_cases(shape=(90, 300, 200), spacing=(1.0, 1.0, 1.0)))
        assert plan.network.kernels[0] == (3, 3, 3)
        assert plan.network.strides[1] == (2, 2, 2)

    def test_left_and_right_are_mirrored(self) -> None:
        assert self.plan().mirror_axes == (0,)

    def test_fine_volumes_have_a_grid_that_is_much_coarser(self) -> None:
        """An update of a volume takes as long as ten of a slice."""
        plan = self.plan(*some_cases(spacing=(0.9, 0.47, 0.47), shape=(20, 640, 512)))
        assert [other.pixel_mm for other in plan.coarser] == [0.94, 1.3]
        assert np.prod(plan.coarser[-1].patch) < np.prod(plan.patch) / 3
