"""Which of a plan's grids a time budget takes, and that everything afterwards keeps to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.inference.model import find_models, read_model
from autospine.planning.plan import CoarserGrid, Plan, Plans
from autospine.preprocessing.grid import Grid
from autospine.preprocessing.storage import CaseStore
from autospine.training import budget, resolution
from autospine.training.around import Around
from autospine.training.job import TrainingJob
from autospine.training.profiling import StepTime, TooLargeError
from autospine.training.resolution import (
    at_resolution,
    batch_with_enough,
    finest_with_enough,
    read_plan,
    reason_for,
)
from autospine.training.run import TrainRequest, train
from tests.tiny import make_job, plan_of
from tests.toys import QUICK, ToyTrainer

PIXELS = (3.0, 4.0, 6.0)  # mm of the tiny plan's grids
ENOUGH = 100


@pytest.mark.parametrize(
    ("updates", "chosen", "measured"),
    [
        ((275, 560, 1200), 2, {2: 1200, 1: 560}),  # the finest is not even tried
        ((275, 1300, 2400), 1, {2: 2400, 1: 1300, 0: 275}),
        ((1200, 2400, 4800), 0, {2: 4800, 1: 2400, 0: 1200}),
        ((30, 60, 120), 2, {2: 120}),  # none: the coarsest
        ((1199,), 0, {0: 1199}),
        ((0, 0, 0), 2, {2: 0}),
    ],
)
def test_the_finest_grid_with_enough_updates_is_taken(updates, chosen: int, measured: dict) -> None:
    assert finest_with_enough(len(updates), updates.__getitem__, 1200) == (chosen, measured)


@pytest.mark.parametrize(
    ("batch", "found", "expected"),
    [(12, 1200, 12), (12, 700, 6), (12, 250, 3), (2, 224, 1), (1, 10, 1), (4, 100, 1), (8, 1199, 4)],
)
def test_the_batch_is_halved_where_no_grid_is_coarse_enough(batch: int, found: int, expected: int) -> None:
    taken, updates = batch_with_enough(batch, found, lambda size: found * batch // size, 1200)
    assert taken == expected
    assert updates == found * batch // expected


@pytest.fixture
def plan(work: WorkFolder) -> Plan:
    """The tiny plan of slices, with two coarser grids, written to the work folder."""
    plan = plan_of(work, 2)
    coarser = tuple(
        CoarserGrid(mm, Grid((None, mm, mm)), (1, *patch), 2, plan.network, 0.7)
        for mm, patch in zip(PIXELS[1:], ((48, 24), (32, 16)), strict=True)
    )
    plan = replace(plan, coarser=coarser)
    Plans((plan, plan_of(work, 3))).save(work.plans)
    (work.root / "preprocessed").unlink()  # a link to what all tests share
    (work.root / "preprocessed").mkdir()
    return plan


@pytest.fixture
def clock(work: WorkFolder, plan: Plan, tiny_work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Seconds of an update by the rows of its patch; a minute that does not pass; other costs are nothing."""
    (work.root / "preprocessed" / plan.name).symlink_to(tiny_work.preprocessed(plan.name))
    told = {64: 0.1, 48: 0.1, 32: 0.1}

    def fake(trainer, shape, precision, batch, device) -> StepTime:
        seconds = told[batch.images.shape[2]]
        if seconds == torch.inf:
            raise TooLargeError("--trainer toy", "needs 9 GiB", "plan again")
        return StepTime(seconds * len(batch.images) / 2, 0.0)

    for module in (budget, resolution):
        monkeypatch.setattr(module, "time_step", fake)
        monkeypatch.setattr(module, "validation_seconds", lambda patches, forward: 1e-6)
        monkeypatch.setattr(module, "time_around", lambda *_: Around(0.0, 0.0, overlaps=False))
    monkeypatch.setattr(budget, "SECONDS_PER_CASE", 0.0)
    monkeypatch.setattr(resolution, "SECONDS_TO_PREPROCESS", 0.0)
    monkeypatch.setattr(TrainingJob, "seconds_left", lambda self: self.minutes * 60)
    monkeypatch.setitem(ToyTrainer.recipes, "quick", replace(QUICK, min_updates=ENOUGH))
    return told


def toy(plan: Plan, **changes: object) -> ToyTrainer:
    return ToyTrainer(plan, replace(ToyTrainer.recipes["quick"], **changes))


def chosen(work: WorkFolder, plan: Plan, folder: Path, minutes: float | None = 1.0, **changes: object) -> Plan:
    """The plan that a training of the fold takes."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer, job = at_resolution(toy(plan, **changes), make_job(work, plan, folder, minutes=minutes))
    assert job.cases == work.preprocessed(trainer.plan.cases_name)
    assert {case for case in job.fold.cases if CaseStore(job.cases, case).folder.exists()} == set(job.fold.cases)
    assert read_plan(folder) == trainer.plan
    assert trainer.plan.coarser == ()
    return trainer.plan


@pytest.mark.parametrize(
    ("seconds", "pixel_mm", "batch"),
    [
        ((0.5, 0.3, 0.2), None, 2),
        ((0.7, 0.5, 0.2), 4.0, 2),
        ((0.9, 0.7, 0.5), 6.0, 2),
        ((2.9, 1.7, 1.0), 6.0, 1),
        ((torch.inf, 0.5, 0.2), 4.0, 2),
    ],
)
def test_a_training_takes_what_its_time_allows(work, plan, clock, tmp_path, seconds, pixel_mm, batch) -> None:
    clock.update(zip((64, 48, 32), seconds, strict=True))
    taken = chosen(work, plan, tmp_path / "fold_0")
    assert (taken.pixel_mm, taken.batch) == (pixel_mm, batch)
    assert taken.grid == (plan.grid if pixel_mm is None else Grid((None, pixel_mm, pixel_mm)))
    assert "for 1 minutes" in taken.reasons[-1].decision


@pytest.mark.parametrize("changes", [{"minutes": None}, {"patch": (32, 16)}], ids=["no budget", "a paper's patch"])
def test_otherwise_it_is_the_finest(work, plan, clock, tmp_path, changes: dict) -> None:
    clock.update({64: 9.0, 48: 9.0})
    assert chosen(work, plan, tmp_path / "fold_0", **changes) == replace(plan, coarser=())


def test_what_was_given_up_is_said_with_its_figures(plan: Plan) -> None:
    plans = plan.resolutions()
    reason = reason_for(plans, {2: 1200, 1: 560}, plans[2], 1200, 15)
    assert reason.decision == "6 mm pixels for 15 minutes"
    assert reason.because.startswith("3 mm would get about ")
    assert reason.because.endswith("4 mm would get 560; 6 mm gets 1200 updates of the narrowest network")
    smaller = reason_for(plans, {2: 700}, replace(plans[2], batch=1), 1400, 15).because
    assert smaller.endswith("6 mm gets 1400 updates of the narrowest network in batches of 1 instead of 2")
    assert reason_for(plans, {0: 2000}, plans[0], 2000, 15).because == "3 mm gets 2000 updates of the narrowest network"


def test_networks_that_are_trained_in_turn_share_the_time(work, plan, clock, tmp_path) -> None:
    class Two(ToyTrainer):
        trained_in_turn = 2

    clock.update({64: 0.5, 48: 0.25})
    assert chosen(work, plan, tmp_path / "alone" / "fold_0").pixel_mm is None
    (tmp_path / "fold_0").mkdir()
    job = make_job(work, plan, tmp_path / "fold_0", minutes=1.0)
    assert at_resolution(Two(plan, ToyTrainer.recipes["quick"]), job)[0].plan.pixel_mm == 4


def test_what_a_start_that_failed_noted_does_not_bind_the_next(work, plan, clock, tmp_path) -> None:
    clock.update({64: 0.9, 48: 0.7})
    assert chosen(work, plan, tmp_path / "fold_0").pixel_mm == 6
    assert chosen(work, plan, tmp_path / "fold_0", minutes=9.0).pixel_mm is None


def test_a_fold_takes_the_grid_of_a_fold_beside_it(work, plan, clock, tmp_path) -> None:
    clock.update({64: 0.9, 48: 0.7})
    assert chosen(work, plan, tmp_path / "fold_0").pixel_mm == 6
    clock.update({64: 0.1, 48: 0.1})
    (tmp_path / "fold_1").mkdir()
    job = make_job(work, plan, tmp_path / "fold_1", minutes=1.0, fold_name="1")
    assert at_resolution(toy(plan), job)[0].plan.pixel_mm == 6
    (tmp_path / "fold_all").mkdir()
    alone = make_job(work, plan, tmp_path / "fold_all", minutes=1.0, fold_name="all")
    assert at_resolution(toy(plan), alone)[0].plan.pixel_mm is None


@pytest.mark.slow
@pytest.mark.usefixtures("toys")
def test_a_coarse_training_is_continued_predicted_with_and_averaged(work, plan, clock) -> None:
    clock.update({64: 0.9, 48: 0.7, 32: 20.0})
    asked = TrainRequest(work.root, "toy", "2d_sagittal", minutes=1.0, device="cpu", fold="0")
    assert "validated on 2 cases" in train(asked)
    folder = work.model("toy", "2d_sagittal", "quick", "0")
    card = read_model(folder).card
    assert (card.plan.pixel_mm, card.patch) == (6.0, (32, 16))
    assert "6 mm pixels" in card.plan.reasons[-1].decision
    (folder / "model.json").unlink()  # as if killed after the last checkpoint
    clock.update({64: 0.1, 48: 0.1, 32: 0.1})
    train(replace(asked, resume=True))
    assert read_model(folder).card == card
    train(replace(asked, fold="1"))
    assert {model.card.plan.pixel_mm for model in find_models([folder.parent])} == {6.0}


def test_a_continued_training_refuses_another_plan(work, plan, clock, tmp_path) -> None:
    chosen(work, plan, tmp_path / "fold_0")
    other = replace(plan, grid=Grid((None, 2.0, 2.0)))
    with pytest.raises(UserError, match="was begun with another plan than the work folder's; delete"):
        at_resolution(toy(other), make_job(work, other, tmp_path / "fold_0", resume=True))


def test_a_scan_that_is_gone_is_named(work, plan, clock, tmp_path) -> None:
    clock.update({64: 0.9, 48: 0.7})
    text = work.sources.read_text().replace("2_t2.mha", "gone.mha")
    work.sources.write_text(text)
    with pytest.raises(UserError, match=r"gone\.mha: is missing; put it back"):
        chosen(work, plan, tmp_path / "fold_0")
