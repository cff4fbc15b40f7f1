from __future__ import annotations

import json
import math

import pytest

from autospine.core.errors import UserError
from autospine.planning.plan import Plan, Reason
from autospine.preprocessing.grid import SliceInterpolation
from tests.contracts.planner import PlannerContract, case, fingerprint, some_cases


def slices_reason(plan: Plan) -> Reason:
    (found,) = [reason for reason in plan.reasons if "interpolated" in reason.decision]
    return found


class TestSliceReconstruction(PlannerContract):
    name = "slice_reconstruction"

    def test_the_rule_stands_in_the_plan(self) -> None:
        plan = self.plan()
        assert plan.view_axis == 0
        assert plan.grid.spacing == (None, 0.6, 0.6)
        assert plan.grid.slice_interpolation == SliceInterpolation(1.0, "linear")
        assert plan.to_dict()["grid"]["slice_interpolation"] == {"spacing_mm": 1.0, "method": "linear"}

    def test_measured_and_interpolated_slices_are_counted(self) -> None:
        reason = slices_reason(self.plan(*some_cases(3, shape=(15, 450, 450), spacing=(5.0, 0.6, 0.6))))
        assert "slices about every 1 mm" in reason.decision
        assert "15 measured + 56 interpolated slices per case on average (linear)" in reason.decision
        assert "where gaps are below 1.5 mm" in reason.because
        assert reason.figures == "15 + 56 in 1_t2, 2_t2, 3_t2"

    def test_each_case_is_listed_with_its_own_count(self) -> None:
        cases = [
            case("1_t2", shape=(15, 450, 450), spacing=(5.0, 0.6, 0.6)),
            case("2_t2", shape=(100, 450, 450), spacing=(0.9, 0.6, 0.6)),
            case("3_t2", shape=(1, 450, 450), spacing=(5.0, 0.6, 0.6)),
            case("4_t2", shape=(11, 450, 450), spacing=(1.25, 0.6, 0.6)),
        ]
        reason = slices_reason(self.plan(*cases))
        assert reason.figures == "1 + 0 in 3_t2; 11 + 0 in 4_t2; 15 + 56 in 1_t2; 100 + 0 in 2_t2"
        assert "32 measured + 14 interpolated" in reason.decision

    def test_another_rule_gives_another_plan(self) -> None:
        planner = self.planner(fingerprint(*some_cases()))
        planner.slice_interpolation = SliceInterpolation(0.25, "cubic")
        plan = planner.plan()
        assert plan.grid.slice_interpolation == SliceInterpolation(0.25, "cubic")
        assert "every 0.25 mm" in slices_reason(plan).decision
        assert "(cubic)" in slices_reason(plan).decision
        assert self.plan().grid.slice_interpolation == SliceInterpolation()  # the class keeps its own

    def test_more_slices_change_neither_patch_nor_network(self) -> None:
        """One slice is seen at a time, so the memory of training stays that of the plan without interpolating."""
        planner = self.planner(fingerprint(*some_cases()))
        planner.slice_interpolation = None
        plain, interpolated = planner.plan(), self.plan()
        assert (interpolated.patch, interpolated.network, interpolated.batch) == (
            plain.patch,
            plain.network,
            plain.batch,
        )
        assert interpolated.memory_gib == plain.memory_gib

    def test_left_and_right_are_not_in_a_sagittal_slice(self) -> None:
        assert self.plan().mirror_axes == ()

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"method": "nearest"}, "'nearest', none of linear, cubic, registration"),
            ({"spacing_mm": 0.0}, "slices every 0 mm, not 0.1 mm or more"),
            ({"spacing_mm": "1"}, "should be float"),
            ({"edges": "sharp"}, "unknown key 'edges'"),
        ],
    )
    def test_a_rule_that_cannot_be_is_an_error_that_names_the_file(self, change: dict, problem: str) -> None:
        data = json.loads(json.dumps(self.plan().to_dict()))
        data["grid"]["slice_interpolation"] |= change
        with pytest.raises(UserError, match=rf"plans\.json: .*{problem}"):
            Plan.from_dict(data, "plans.json")


@pytest.mark.parametrize("spacing", [0.0, -1.0, 0.05, math.nan, math.inf])
def test_a_spacing_that_no_scan_can_have_is_refused(spacing: float) -> None:
    with pytest.raises(ValueError, match="slices every"):
        SliceInterpolation(spacing)


def test_plans_from_before_this_rule_are_refused() -> None:
    data = TestSliceReconstruction().plan().to_dict() | {"version": 2}
    with pytest.raises(UserError, match=r"older AutoSpine; run autospine_plan again"):
        Plan.from_dict(data, "plans.json")
