from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core import registry
from autospine.core.machine import Machine
from autospine.planning.report import describe
from autospine.planning.run import PlanRequest, PlanResult
from autospine.planning.splits import Fold, Splits
from tests.contracts.planner import LARGE, case, fingerprint, some_cases


@pytest.fixture(scope="module")
def outcome() -> PlanResult:
    cases = (*some_cases(3), case("9_t1", sequence="t1", subset="validation"))
    found = replace(fingerprint(*cases), warnings=("slices are thick",))
    plans = tuple(registry.load("planners", name)(found, LARGE).plan() for name in ("2d_axial", "3d_volume"))
    folds = (Fold(("1_t2", "2_t2"), ("3_t2",)), Fold(("3_t2",), ("1_t2", "2_t2")))
    splits = Splits(1, folds, ("9_t1",), "2 folds of 3 patients")
    request = PlanRequest(Path("spider"), Path("work"), ("2d_axial", "3d_volume"))
    return PlanResult(request, found, plans, splits, LARGE, 3, 2.0)


def test_the_data_set_is_summed_up(outcome: PlanResult) -> None:
    text = describe(outcome)
    assert "3 training cases of 3 patients (t2 3), labels in scheme spider" in text
    assert "17 x 450 x 450 voxels (slices x rows x columns) of 4.40 x 0.60 x 0.60 mm" in text
    assert "7 vertebra labels are ordered along the spine" in text
    assert "labels: 1 L5, 2 L4, 3 L3, 4 L2, 5 L1, 6 T12, 7 T11" in text
    assert "note: slices are thick" in text
    assert "\n2 folds of 3 patients\n1 validation case is never trained on\n" in text


def test_every_reason_is_said_and_its_figures_on_request(outcome: PlanResult) -> None:
    plain, explained = describe(outcome), describe(outcome, explain=True)
    for plan in outcome.plans:
        assert f"plan {plan.name}" in plain
        for reason in plan.reasons:
            assert f"  {reason.decision}: {reason.because}" in plain
            assert not reason.figures or f"[{reason.figures}]" in explained
    assert "[" not in plain.replace("[3]", "")


def test_memory_and_time_are_predicted(outcome: PlanResult) -> None:
    for plan in outcome.plans:
        assert f"predicted: {plan.memory_gib:.1f} GiB, " in describe(outcome)
    assert "an update" in describe(outcome)


def test_a_time_budget_is_mentioned(outcome: PlanResult) -> None:
    assert "10 minutes" not in describe(outcome)
    budget = replace(outcome, request=replace(outcome.request, minutes=10.0))
    assert "10 minutes: autospine_train --minutes" in describe(budget)


def test_the_next_command_or_what_a_dry_run_would_do(outcome: PlanResult) -> None:
    command = "next: autospine_train work --trainer unet --plan 2d_axial --fold 0"
    assert describe(outcome).endswith(f"{command} --minutes 30")
    asked = replace(outcome, request=replace(outcome.request, minutes=10.0))
    assert describe(asked).endswith(f"{command} --minutes 10")
    assert describe(replace(outcome, machine=Machine("cuda", 64.0, 2))).endswith(command)
    dry = describe(replace(outcome, request=replace(outcome.request, dry_run=True)))
    assert dry.endswith("3 cases would be preprocessed for 2d_axial, 3d_volume, in about 12 s")
    assert "next:" not in dry


def test_folds_of_ones_own_are_counted(outcome: PlanResult) -> None:
    own = replace(outcome.splits, folds=outcome.splits.folds[:1], reason="given by mine.json")
    assert "\n1 fold, given by mine.json\n" in describe(replace(outcome, splits=own))
