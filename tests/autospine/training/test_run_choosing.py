"""Which plan is taken when nobody names one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plans
from autospine.training.run import choose_plan
from tests.toys import ToyTrainer


@pytest.mark.parametrize(
    ("takes", "made", "asked", "chosen"),
    [
        ((), ["2d_sagittal", "3d_volume"], None, "2d_sagittal"),
        ((), ["3d_volume"], None, "3d_volume"),
        ((), ["2d_sagittal", "3d_volume"], "3d_volume", "3d_volume"),
        (("3d_volume",), ["2d_sagittal", "3d_volume"], None, "3d_volume"),
        (
            ("slice_reconstruction", "2d_sagittal"),
            ["2d_sagittal", "slice_reconstruction"],
            None,
            "slice_reconstruction",
        ),
        (("slice_reconstruction", "2d_sagittal"), ["2d_sagittal", "3d_volume"], None, "2d_sagittal"),
        (("3d_volume",), ["2d_sagittal"], None, "2d_sagittal"),  # refused by the trainer, with what it takes
    ],
)
def test_the_plan_that_a_trainer_is_made_for(
    tiny_work: WorkFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    takes: tuple[str, ...],
    made: list[str],
    asked: str | None,
    chosen: str,
) -> None:
    monkeypatch.setattr(ToyTrainer, "plans", takes)
    assert choose_plan(ToyTrainer, planned(tiny_work, tmp_path, made), asked).name == chosen


def test_a_plan_that_was_not_made_is_named(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = planned(tiny_work, tmp_path, ["2d_axial", "3d_volume"])
    with pytest.raises(UserError, match="holds no plan '2d_sagittal'; choose from 2d_axial, 3d_volume"):
        choose_plan(ToyTrainer, work, None)
    monkeypatch.setattr(ToyTrainer, "plans", ("slice_reconstruction",))
    with pytest.raises(UserError, match="holds no plan 'slice_reconstruction'"):
        choose_plan(ToyTrainer, work, None)


def planned(tiny_work: WorkFolder, folder: Path, names: list[str]) -> WorkFolder:
    """A work folder with plans of these names."""
    plans = Plans.load(tiny_work.plans)
    work = WorkFolder(folder)
    replace(plans, plans=tuple(replace(plans.plans[0], name=name) for name in names)).save(work.plans)
    return work
