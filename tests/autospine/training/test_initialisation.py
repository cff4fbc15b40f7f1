"""Trainings that start from a model: what is taken, what is refused, and when fresh weights are fairer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.ensemble.selection import save_ensemble
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import Model, read_model, save_model
from autospine.models.provenance import SeenScan
from autospine.planning.recipe import FineTuningSettings
from autospine.training.initialisation import find_start, initialise, kept_start, scored_cases, start_of_fold
from autospine.training.run import TrainRequest, train
from autospine.training.start import Start, known_cases, learnt_from
from autospine.training.trainer import prepare
from tests.tiny import IDS, make_job, plan_of
from tests.toys import QUICK, BrightnessTrainer, ToyTrainer

pytestmark = pytest.mark.usefixtures("toys")
CPU = torch.device("cpu")


@pytest.fixture
def save(work: WorkFolder, tmp_path: Path) -> Callable[..., Model]:
    """Saves a toy with random weights that has learnt from the first two cases."""

    def saved(name: str = "start", dimension: int = 2, seen: tuple[str, ...] = IDS[:2], seed: int = 5) -> Model:
        trainer = ToyTrainer(plan_of(work, dimension), QUICK)
        job = make_job(work, trainer.plan, tmp_path / name)
        card = trainer.model_card(trainer.shape(), job)
        torch.manual_seed(seed)
        card = replace(card, seen=tuple(scan for scan in card.seen if scan.id in seen))
        save_model(job.folder, card, trainer.build(trainer.shape()).state_dict())
        return read_model(job.folder)

    return saved


def toy(work: WorkFolder, dimension: int = 2) -> ToyTrainer:
    return ToyTrainer(plan_of(work, dimension), QUICK)


def test_fresh_weights_are_the_default_and_none(work: WorkFolder, save) -> None:
    save()
    assert find_start(None, toy(work)) is None
    assert find_start("none", toy(work)) is None


def test_a_folder_and_an_installed_model_can_be_started_from(work: WorkFolder, save, own_models: Path) -> None:
    model = save()
    start = find_start(str(model.folder), toy(work))
    assert start == Start(model.name, str(model.folder), model.card.weights, model.card.seen)
    assert [scan.id for scan in start.seen] == ["1_t1", "2_t2"]
    own_models.mkdir()
    model.folder.rename(own_models / "box")
    for name in ("box", str(own_models / "box")):
        assert find_start(name, toy(work)) == replace(start, folder=str(own_models / "box"))


def test_what_cannot_be_started_from_is_one_line(work: WorkFolder, save, tmp_path: Path) -> None:
    model, volume = save(), save("volume", 3)
    members = [save(f"both/member_{k}") for k in range(2)]
    save_ensemble(tmp_path / "both", members, (0.5, 0.5), "by hand")
    for k in range(2):
        save(f"folds/fold_{k}")
    damaged = save("damaged")
    (damaged.folder / "weights.safetensors").write_bytes(b"other")
    other = replace(plan_of(work, 2), network=replace(plan_of(work, 2).network, widths=(4, 16)))
    for asked, trainer, problem in (
        (tmp_path / "nowhere", toy(work), "holds no finished model"),
        ("box", toy(work), "box: is no installed model; install one"),
        (
            volume.folder,
            toy(work),
            "has a 3-D network for 3d_volume, the plan 2d_sagittal is 2-D; use",
        ),
        (tmp_path / "both", toy(work), "both: holds 2 members of an ensemble; name one, such as"),
        (tmp_path / "folds", toy(work), "folds: holds 2 folds; name one, such as"),
        (damaged.folder, toy(work), r"weights\.safetensors: is damaged or not the one that model\.json describes"),
        (model.folder, ToyTrainer(other, QUICK), "has other stages, widths .* makes a plan that fits"),
    ):
        with pytest.raises(UserError, match=problem) as caught:
            find_start(str(asked), trainer)
        assert "\n" not in str(caught.value)


def test_a_network_of_another_skeleton_is_refused_when_it_would_begin(work: WorkFolder, save, tmp_path: Path) -> None:
    start = Start.of(save())
    trainer = BrightnessTrainer(plan_of(work, 2), BrightnessTrainer.recipes["only"])
    job = make_job(work, trainer.plan, tmp_path / "model", start=start)
    with pytest.raises(UserError, match="cannot start brightness; use --init-from none"):
        initialise(trainer, job, prepare(trainer, trainer.shape(), Precision(), CPU), True)


def test_weights_and_learning_rates_come_from_the_start_and_its_recipe(work: WorkFolder, save, tmp_path: Path) -> None:
    model = save()
    recipe = replace(QUICK, fine_tuning=FineTuningSettings(body=0.5, first_layer=0.1, head=2.0))
    trainer = ToyTrainer(plan_of(work, 2), recipe)
    job = make_job(work, trainer.plan, tmp_path / "model", start=Start.of(model))
    context = prepare(trainer, trainer.shape(), Precision(), CPU)
    initialise(trainer, job, context, True)
    network, (optimiser,) = context.networks["network"], context.updater.optimisers.values()
    for name, value in model.weights().items():
        assert torch.equal(network.state_dict()[name], value)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.005, 0.001, 0.02])
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(network.parameters()))
    fresh = prepare(trainer, trainer.shape(), Precision(), CPU)
    before = {name: value.clone() for name, value in fresh.networks["network"].state_dict().items()}
    initialise(trainer, job, fresh, False)  # a continued training has its weights in the checkpoint
    assert all(torch.equal(value, before[name]) for name, value in fresh.networks["network"].state_dict().items())
    assert len(fresh.updater.optimisers["network"].param_groups) == 3


def test_a_start_that_was_replaced_meanwhile_is_named(save) -> None:
    start = Start.of(save())
    save(seed=6)
    with pytest.raises(UserError, match=r"start: is not toy/2d_sagittal/quick/fold_0@\w+, which the training"):
        start.read()


def test_scans_are_known_by_voxels_by_id_and_size_and_by_patient(work: WorkFolder) -> None:
    cases = Fingerprint.load(work.fingerprint).cases
    one = cases[0]
    assert known_cases(cases, ()) == set()
    assert known_cases(cases, (SeenScan("x", one.image_checksum, (9, 9, 9)),)) == {"1_t1"}
    assert known_cases(cases, (SeenScan("1_t1", "", (1, *one.shape[1:])),)) == {"1_t1"}
    assert known_cases(cases, (SeenScan("spider-1_t1", "0" * 16, one.shape),)) == {"1_t1"}
    assert known_cases(cases, (SeenScan("1_t1", "0" * 16, (6, 10, 10)),)) == set()
    assert known_cases(cases, (SeenScan("11_t1", "0" * 16, one.shape),)) == set()
    patient = [replace(case, patient="a") if case.id in IDS[1:3] else case for case in cases]
    assert known_cases(patient, (SeenScan("x", cases[1].image_checksum, (9, 9, 9)),)) == {"2_t2", "3_t1"}


def test_a_fold_that_is_scored_on_a_seen_scan_starts_fresh_and_says_why(work: WorkFolder, save, caplog) -> None:
    cases, start = Fingerprint.load(work.fingerprint).cases, Start.of(save())
    assert start_of_fold(start, "0", ("3_t1", "4_t2"), cases) is start
    assert start_of_fold(start, "all", (), cases) is start
    assert start_of_fold(None, "0", ("1_t1",), cases) is None
    assert start_of_fold(start, "1", ("1_t1", "3_t1"), cases) is None
    assert "fold 1 starts from fresh weights: it is scored on 1_t1, and toy/2d_sagittal" in caplog.text


def test_every_scored_case_counts(work: WorkFolder) -> None:
    from autospine.planning.splits import Fold

    assert scored_cases(Fold(("a",), ("b",), ("c",)), ("d",)) == ("b", "c", "d")


def test_a_model_remembers_its_scans_and_those_of_its_start(work: WorkFolder, save) -> None:
    start = Start.of(save())
    assert [scan.id for scan in learnt_from(work.root, ("3_t1", "1_t1"), start)] == ["1_t1", "3_t1", "2_t2"]
    assert learnt_from(work.root / "nowhere", ("3_t1",), None) == ()


def test_a_continued_training_keeps_its_start(work: WorkFolder, save, tmp_path: Path) -> None:
    start, folder = Start.of(save()), tmp_path / "model"
    assert kept_start(folder, start, resume=True) == start == Start.load(folder)  # nothing was begun there
    (folder / "checkpoint.pt").touch()
    assert kept_start(folder, None, resume=True) == start
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "checkpoint.pt").touch()
    assert kept_start(fresh, start, resume=True) is None


def asked(work: WorkFolder, **changes: object) -> TrainRequest:
    return TrainRequest(work.root, trainer="toy", plan="2d_sagittal", device="cpu", epochs=1, **changes)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_short_training_ends_near_its_start_and_is_continued_from_it(work: WorkFolder, save, caplog) -> None:
    caplog.set_level(logging.INFO)
    model = save(seen=())
    folder = work.model("toy", "2d_sagittal", "quick", "0")
    train(asked(work, init_from=str(model.folder)))
    card = read_model(folder).card
    assert card.started_from == model.name and card.seed == 0
    assert {scan.id for scan in card.seen} == set(card.trained_on)
    assert "starts from toy/2d_sagittal/quick/fold_0" in caplog.text
    tuned, begun = load_file(folder / "weights.safetensors"), model.weights()
    far = max(float((tuned[name] - begun[name]).abs().max()) for name in tuned if not name.startswith("heads"))
    assert 0 < far < 0.02  # three steps of at most 0.003
    again = train(replace(asked(work, init_from="none", resume=True), epochs=2))
    assert "validated on" in again
    assert "as it was begun" in caplog.text
    assert read_model(folder).card.started_from == model.name
    train(asked(work, fold="1"))
    scratch = load_file(work.model("toy", "2d_sagittal", "quick", "1") / "weights.safetensors")
    assert max(float((scratch[name] - begun[name]).abs().max()) for name in scratch) > 0.1


@pytest.mark.slow
def test_folds_that_test_on_seen_scans_are_trained_afresh(work: WorkFolder, save, caplog) -> None:
    from autospine.training.folds import read_case_pool

    fold = read_case_pool(work).folds[0]
    model = save(seen=fold.validation)
    train(asked(work, init_from=str(model.folder)))
    folder = work.model("toy", "2d_sagittal", "quick", "0")
    assert read_model(folder).card.started_from == ""
    assert not (folder / "start.json").exists()
    assert "fold 0 starts from fresh weights" in caplog.text
