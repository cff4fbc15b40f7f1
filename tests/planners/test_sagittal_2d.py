from __future__ import annotations

from autospine.preprocessing.grid import Grid
from planners.sagittal_2d import Sagittal2D
from tests.contracts.planner import LARGE, PlannerContract, fingerprint, some_cases


class TestSagittal2D(PlannerContract):
    name = "2d_sagittal"

    def test_slices_are_never_resampled(self) -> None:
        plan = self.plan()
        assert plan.grid.spacing[0] is None
        assert plan.grid.spacing_for((9.0, 0.6, 0.6))[0] == 9.0
        assert plan.patch[0] == 1

    def test_in_plane_spacing_is_the_median(self) -> None:
        plan = self.plan(*some_cases(3), *some_cases(2, spacing=(4.4, 0.9, 0.9)))
        assert plan.grid.spacing == (None, 0.6, 0.6)

    def test_single_slices_can_be_planned(self) -> None:
        assert self.plan(*some_cases(shape=(1, 450, 450))).patch[0] == 1

    def test_left_and_right_are_not_in_a_sagittal_slice(self) -> None:
        assert self.plan().mirror_axes == ()

    def test_image_above_the_topmost_label_is_not_background(self) -> None:
        stopped = self.plan(*some_cases(labels=(1, 2, 3)))
        assert stopped.encoding.partial_annotation_above
        assert any("not learnt as background" in reason.decision for reason in stopped.reasons)
        assert not self.plan().encoding.partial_annotation_above

    def test_a_planner_with_a_spacing_of_its_own_has_no_coarser_one(self) -> None:
        class Fixed(Sagittal2D):
            def choose_grid(self) -> Grid:
                return Grid((None, 0.6, 0.6))

        assert Fixed(fingerprint(*some_cases()), LARGE).plan().coarser == ()
