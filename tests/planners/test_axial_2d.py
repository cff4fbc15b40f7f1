from __future__ import annotations

import pytest

from tests.contracts.planner import SAGITTAL, PlannerContract, case, some_cases

AXIAL = {"shape": (320, 30, 320), "spacing": (0.6, 4.4, 0.6)}


class TestAxial2D(PlannerContract):
    name = "2d_axial"
    axes_in_view = (0, 2)

    def test_a_sagittal_series_is_cut_across_its_slices(self) -> None:
        plan = self.plan()
        assert plan.grid.spacing == (None, None, 0.6)
        assert plan.patch[1] == 1
        assert plan.patch[0] >= 17

    def test_an_axial_series_keeps_its_slices(self) -> None:
        plan = self.plan(*some_cases(**AXIAL))
        assert plan.grid.spacing == (0.6, None, 0.6)
        assert plan.grid.spacing_for((0.6, 9.0, 0.6))[1] == 9.0
        assert any("axial: its slices are kept" in reason.because for reason in plan.reasons)

    @pytest.mark.parametrize("many", [AXIAL, {}], ids=["axial", "sagittal"])
    def test_in_a_mixed_set_every_series_keeps_its_slices(self, many: dict) -> None:
        plan = self.plan(*some_cases(3, **many), case("8_t2"), case("9_t2", **AXIAL))
        for spacing in (SAGITTAL, AXIAL["spacing"]):
            assert plan.grid.spacing_for(spacing) == spacing
        assert any("each series keeps its own grid" in reason.because for reason in plan.reasons)

    def test_the_offset_along_the_rows_is_learnt_though_the_slice_does_not_show_it(self) -> None:
        assert 1 in self.plan().encoding.offset_axes

    def test_left_and_right_are_mirrored(self) -> None:
        assert self.plan().mirror_axes == (0,)
