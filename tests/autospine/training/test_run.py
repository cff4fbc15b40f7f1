"""The loop and the call around it: which folds, what is continued, what is refused."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autospine.core.errors import UserError
from autospine.core.locks import locked
from autospine.core.workspace import WorkFolder
from autospine.inference.model import read_model
from autospine.planning.plan import Plans
from autospine.training import loop
from autospine.training.checkpoint import load_checkpoint
from autospine.training.folds import read_case_pool
from autospine.training.history import Scores
from autospine.training.loop import fit
from autospine.training.run import TrainRequest, choose_plan, train
from tests.tiny import IDS, make_job, plan_of
from tests.toys import QUICK, ToyTrainer

pytestmark = pytest.mark.usefixtures("toys")
CPU = torch.device("cpu")


def asked(work: WorkFolder, **changes: object) -> TrainRequest:
    settings: dict = {"trainer": "toy", "plan": "2d_sagittal", "device": "cpu", "epochs": 1, **changes}
    return TrainRequest(work.root, **settings)


def model_folder(work: WorkFolder, fold: str = "0", recipe: str = "quick") -> Path:
    return work.model("toy", "2d_sagittal", recipe, fold)


def epochs_of(folder: Path) -> list[int]:
    with open(folder / "metrics.csv", newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_held_out_cases_are_asked_for_before_training(work: WorkFolder) -> None:
    with pytest.raises(UserError, match="--held-out: finds no validation subset"):
        train(asked(work, held_out=True))
    assert not model_folder(work).exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"minutes": -1.0, "epochs": None}, "--minutes"),
        ({"minutes": float("nan"), "epochs": None}, "--minutes"),
        ({"trainer": "nobody"}, "nobody"),
        ({"recipe": "soup"}, "soup"),
        ({"plan": "4d"}, "4d"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(work: WorkFolder, changes: dict, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        train(asked(work, **changes))
    assert not (work.root / "models").exists()


def test_a_folder_without_plans(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="autospine_plan"):
        train(TrainRequest(tmp_path))


@pytest.mark.slow
def test_a_fold_leaves_a_model_scores_masks_and_curves(work: WorkFolder) -> None:
    said = train(asked(work))
    folder = model_folder(work)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("weights.safetensors", "model.json", "checkpoint.pt", "metrics.csv", "progress.png", "curves.png"),
        *("split.json", "plan.json", "validation", ".lock"),
    }
    card = read_model(folder).card
    fold = read_case_pool(work).folds[0]
    assert (card.trainer, card.fold, card.trained_on) == ("toy", "0", fold.train)
    masks = {path.name for path in (folder / "validation").glob("*.mha")}
    assert masks == {f"{case}.mha" for case in fold.validation}
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    assert [one["kind"] for one in summary["instances"]] and summary["labels"]
    assert f"validated on {len(fold.validation)} cases" in said
    assert f"-m {folder}" in said


@pytest.mark.slow
def test_cv_trains_every_fold_and_scores_every_case_once(work: WorkFolder) -> None:
    said = train(asked(work, fold="cv"))
    assert "cross-validated over 6 cases" in said
    assert {path.name for path in model_folder(work).parent.iterdir()} == {"fold_0", "fold_1", "fold_2"}
    assert train(asked(work, fold="all"))
    assert not (model_folder(work, "all") / "validation").exists()
    assert sorted(read_model(model_folder(work, "all")).card.trained_on) == sorted(IDS)


@pytest.mark.slow
def test_an_existing_training_is_neither_overwritten_nor_continued_unasked(work: WorkFolder) -> None:
    train(asked(work))
    folder = model_folder(work)
    before = (folder / "weights.safetensors").read_bytes()
    with pytest.raises(UserError, match="--continue"):
        train(asked(work))
    assert (folder / "weights.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="--continue"):  # not even those that come first
        train(asked(work, fold="cv"))
    assert {path.name for path in folder.parent.iterdir()} == {"fold_0"}


@pytest.mark.slow
def test_epochs_extends_a_finished_training(work: WorkFolder) -> None:
    train(asked(work, epochs=2))
    folder = model_folder(work)
    assert epochs_of(folder) == [3, 6]
    before = (folder / "weights.safetensors").read_bytes()
    train(asked(work, epochs=None, resume=True))  # finished: validated again, no more
    assert (folder / "weights.safetensors").read_bytes() == before
    train(asked(work, epochs=4, resume=True))
    assert epochs_of(folder) == [3, 6, 9, 12]
    assert (folder / "weights.safetensors").read_bytes() != before
    with pytest.raises(UserError, match="less than the 4 epochs already done"):
        train(asked(work, epochs=3, resume=True))


@pytest.mark.slow
def test_minutes_add_nothing_to_a_finished_training_which_says_what_does(
    work: WorkFolder, caplog: pytest.LogCaptureFixture
) -> None:
    train(asked(work))
    before = (model_folder(work) / "weights.safetensors").read_bytes()
    with caplog.at_level("INFO"):
        train(asked(work, epochs=None, minutes=5.0, resume=True))
    assert "fold 0 is trained already: --minutes adds nothing to it, --epochs N goes on to epoch N" in caplog.text
    assert (model_folder(work) / "weights.safetensors").read_bytes() == before
    (model_folder(work) / "model.json").unlink()  # killed before it was written
    with caplog.at_level("INFO"):
        train(asked(work, epochs=None, minutes=5.0, resume=True))
    assert "goes on with the 3 updates that it was begun with: --minutes changes nothing" in caplog.text
    assert (model_folder(work) / "weights.safetensors").read_bytes() == before


def test_a_fold_that_another_process_trains_is_refused(work: WorkFolder) -> None:
    refused = pytest.raises(UserError, match=rf"fold_0: is in use: process {os.getpid()} on \S+ trains fold 0")
    with locked(model_folder(work), "trains fold 0", wait=False), refused:
        train(asked(work, resume=True))
    assert {path.name for path in model_folder(work).iterdir()} == {".lock"}


def test_tensorboard_is_missed_before_training(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autospine.training.run.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--tensorboard: needs the package tensorboard.*autospine\[tensorboard\]"):
        train(asked(work, tensorboard=True))
    assert not model_folder(work).exists()


@pytest.mark.slow
def test_a_checkpoint_cut_in_half_stops_the_continuation_in_one_line(work: WorkFolder) -> None:
    train(asked(work))
    path = model_folder(work) / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"checkpoint\.pt.*damaged or cut short") as caught:
        train(asked(work, epochs=3, resume=True))
    assert "\n" not in str(caught.value)


class Stopped(Exception):
    """The power went off."""


def test_a_stopped_training_goes_on_to_the_same_weights(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an epoch, with a running average, augmentation and a schedule that watches scores."""
    from autospine.augmentation import AugmentationSettings
    from autospine.planning.recipe import ScheduleSettings

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    schedule = ScheduleSettings("plateau", warmup=0.1, patience=0, factor=0.5)
    recipe = replace(QUICK, epochs=4, schedule=schedule, augmentation=AugmentationSettings())
    trainer = ToyTrainer(plan_of(tiny_work, 2), recipe)
    through = make_job(tiny_work, trainer.plan, tmp_path / "through", seed=3)
    fit(trainer, through)

    class Stops(ToyTrainer):
        def training_step(self, context, batch):
            if context.step == 7:
                raise Stopped
            return super().training_step(context, batch)

    stopped = make_job(tiny_work, trainer.plan, tmp_path / "stopped", seed=3)
    with pytest.raises(Stopped):
        fit(Stops(trainer.plan, recipe), stopped)
    assert load_checkpoint(stopped.checkpoint, CPU)["step"] == 6
    fit(trainer, replace(stopped, resume=True, seed=0))  # the seed is the checkpoint's
    first, second = (load_file(job.folder / "weights.safetensors") for job in (through, stopped))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert epochs_of(through.folder) == epochs_of(stopped.folder) == [3, 6, 9, 12]


def test_other_seeds_give_other_weights_and_the_same_seed_the_same(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = ToyTrainer(plan_of(tiny_work, 2), replace(QUICK, epochs=1))
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        job = make_job(tiny_work, trainer.plan, tmp_path / str(number), seed=seed)
        weights.append(load_file(fit(trainer, job) / "weights.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def scored(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> list[dict]:
    """Validation scores as told; keeps the weights of each epoch."""
    told, seen = iter(scores), []

    def fake(network, encoding, context, batches) -> Scores:
        if len(list(batches)) == loop.TRAINING_BATCHES:
            return Scores(0.0, 0.0, 0.0)
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return Scores(next(told), 0.0, 0.0)

    monkeypatch.setattr(loop, "patch_scores", fake)
    return seen


def test_patience_ends_a_training_and_the_best_weights_are_kept(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scored(monkeypatch, [0.3, 0.8, 0.7, 0.6, 0.5, 0.4])
    recipe = replace(ToyTrainer.recipes["best"], epochs=6, iterations_per_epoch=2, patience=2)
    trainer = ToyTrainer(plan_of(tiny_work, 2), recipe)
    kept = load_file(fit(trainer, make_job(tiny_work, trainer.plan, tmp_path)) / "weights.safetensors")
    assert len(seen) == 4
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)


def test_the_running_average_is_kept_and_is_what_the_validation_sees(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scored(monkeypatch, [0.3, 0.4])
    trainer = ToyTrainer(plan_of(tiny_work, 2), QUICK)
    job = make_job(tiny_work, trainer.plan, tmp_path)
    kept = load_file(fit(trainer, job) / "weights.safetensors")
    content = load_checkpoint(job.checkpoint, CPU)
    assert all(torch.equal(kept[name], content["average"][f"module.{name}"]) for name in kept)
    assert any(not torch.equal(kept[name], content["networks"]["network"][name]) for name in kept)
    assert all(torch.equal(kept[name], seen[-1][name]) for name in kept)


def test_the_average_is_the_weighted_mean_of_all_weights(tiny_work: WorkFolder, tmp_path: Path) -> None:
    history = []

    class Watched(ToyTrainer):
        def training_step(self, context, batch):
            terms = super().training_step(context, batch)
            history.append({n: v.clone() for n, v in context.networks["network"].state_dict().items()})
            return terms

    trainer = Watched(plan_of(tiny_work, 2), replace(QUICK, ema_decay=0.6))
    job = make_job(tiny_work, trainer.plan, tmp_path)
    kept = load_file(fit(trainer, job) / "weights.safetensors")
    history = history[-6:]  # the first ones were the measurement of speed
    for name, value in kept.items():
        expected = history[0][name]
        for step, weights in enumerate(history[1:], start=2):
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weights[name]
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_budget_gives_epochs_and_a_validation(work: WorkFolder) -> None:
    said = train(asked(work, epochs=None, minutes=3 / 60))
    assert len(epochs_of(model_folder(work))) >= 1
    assert "validated on" in said


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
