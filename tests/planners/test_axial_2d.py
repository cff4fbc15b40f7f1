from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.core.machine import Machine
from autospine.planning.memory import training_memory_gib
from tests.contracts.planner import SAGITTAL, PlannerContract, case, fingerprint, some_cases

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

    def test_pixels_of_an_axial_series_are_as_long_as_asked_for_on_both_sides(self) -> None:
        cases = some_cases(shape=(320, 30, 320), spacing=(0.3906, 4.0, 0.3906))
        planner, usual = self.planner(fingerprint(*cases)), self.plan(*cases)
        planner.pixel_spacing = 0.8
        plan = planner.plan()
        assert plan.grid.spacing == (0.8, None, 0.8)
        assert plan.grid.spacing_for(cases[0].spacing) == (0.8, 4.0, 0.8)
        assert plan.patch[0] < usual.patch[0]
        assert any("0.8 mm pixels" in reason.decision for reason in plan.reasons)

    def test_pixels_of_an_axial_series_stay_square(self) -> None:
        """Slices of another distance are kept; in-plane only what is a few hundredths off."""
        cases = some_cases(**AXIAL)
        spacing_for = self.plan(*cases, case("9_t2", (320, 30, 320), (0.7, 4.4, 0.7))).grid.spacing_for
        assert spacing_for((0.7, 4.4, 0.7)) == (0.6, 4.4, 0.6)
        assert spacing_for((0.605, 5.0, 0.605)) == (0.605, 5.0, 0.605)
        oblong = self.plan(*some_cases(shape=(320, 30, 320), spacing=(0.8, 4.4, 0.6)))
        assert oblong.grid.spacing_for((0.8, 4.4, 0.6)) == (0.6, 4.4, 0.6)

    @pytest.mark.parametrize("many", [AXIAL, {}], ids=["axial", "sagittal"])
    def test_in_a_mixed_set_every_series_keeps_its_slices(self, many: dict) -> None:
        plan = self.plan(*some_cases(3, **many), case("8_t2"), case("9_t2", **AXIAL))
        for spacing in (SAGITTAL, AXIAL["spacing"]):
            assert plan.grid.spacing_for(spacing) == spacing
        assert any("each series keeps its own grid" in reason.because for reason in plan.reasons)

    def test_whose_slices_are_seen_in_windows_is_said(self) -> None:
        """Thin series among ten times as many thick ones; in a set of their own they are seen whole."""
        thin = case("90_t2_SPACE", (120, 640, 640), (0.9, 0.47, 0.47))
        plan = self.plan(*some_cases(10), thin)
        (windows,) = (reason for reason in plan.reasons if "windows" in reason.decision)
        assert plan.patch[0] * 0.9 == pytest.approx(18)
        assert windows.decision == "windows 18 mm wide for 1 of 11 cases"
        assert "6 times as long" in windows.because
        assert not any("the slice from side to side" in reason.because for reason in plan.reasons)
        alone = self.plan(thin)
        assert alone.patch[0] >= 120
        assert not any("windows" in reason.decision for reason in alone.reasons)
        assert any("the slice from side to side" in reason.because for reason in alone.reasons)

    @pytest.mark.parametrize("others", [1, 10])
    def test_windows_of_slices_beyond_the_limit_are_said(self, others: int) -> None:
        plan = self.plan(*some_cases(others, **AXIAL), case("90_t2", (600, 30, 320), AXIAL["spacing"]))
        (windows,) = (reason for reason in plan.reasons if "windows" in reason.decision)
        assert windows.decision == f"windows 192 mm wide for 1 of {others + 1} cases"
        assert windows.because == "the patch is as wide as its limit and the memory allow"

    def test_windows_for_want_of_memory_are_said(self) -> None:
        cases = some_cases(**AXIAL)
        narrowest = replace(self.plan(*cases), batch=2, patch=(320, 1, 32))
        plan = self.plan(*cases, machine=Machine("cpu", training_memory_gib(narrowest) - 0.001, 2))
        (windows,) = (reason for reason in plan.reasons if "windows" in reason.decision)
        assert windows.decision == f"windows {0.6 * plan.patch[0]:.0f} mm wide for 4 of 4 cases"
        assert windows.because == "the patch is as wide as its limit and the memory allow"

    def test_the_offset_along_the_rows_is_learnt_though_the_slice_does_not_show_it(self) -> None:
        assert 1 in self.plan().encoding.offset_axes

    def test_left_and_right_are_mirrored(self) -> None:
        assert self.plan().mirror_axes == (0,)
