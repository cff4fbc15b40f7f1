"""What the base class holds without a change of the loop: a GAN, an ensemble, preprocessing, a slice filter."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from autospine.augmentation import BatchgeneratorsSettings
from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.evaluation.cohort import Evaluation
from autospine.inference.model import find_models, read_model
from autospine.inference.predict import predict
from autospine.planning.recipe import OptimiserSettings, Recipe
from autospine.preprocessing.run import transform_cases
from autospine.preprocessing.storage import CaseStore
from autospine.training.checkpoint import load_checkpoint
from autospine.training.job import TrainingJob
from autospine.training.loading import make_batches
from autospine.training.loop import fit
from autospine.training.run import train_fold
from autospine.training.trainer import MultiModelTrainer, Trainer, make_optimiser, prepare
from autospine.training.validation import validate
from tests.contracts.trainer import TrainerContract
from tests.tiny import make_job, make_plan, plan_of
from tests.toys import QUICK, GanTrainer, PreparedTrainer, ToyTrainer

pytestmark = pytest.mark.usefixtures("toys")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3])
def test_a_gan_with_two_optimisers(tiny_work: WorkFolder, tmp_path: Path, dimension: int) -> None:
    trainer = GanTrainer(plan_of(tiny_work, dimension), GanTrainer.recipe_named(None))
    job = make_job(tiny_work, trainer.plan, tmp_path)
    fit(trainer, job)
    content = load_checkpoint(job.checkpoint, job.device)
    assert set(content["networks"]) == set(content["optimisers"]) == {"segmenter", "critic"}
    rows = rows_of(tmp_path)
    assert {"loss", "critic", "adversarial"} <= set(rows[0])
    network = read_model(tmp_path).network(job.device)
    for name, value in network.state_dict().items():  # the critic is no part of the model
        assert torch.equal(value, content["networks"]["segmenter"][name])
    scan = tiny_work.root.parent / "data" / "images" / "5_t1.mha"
    assert set(np.unique(predict(scan, tmp_path, device="cpu").mask)) <= {0, *trainer.encoding.values}


class TestGan(TrainerContract):
    """The contract of all trainers holds for two networks with an optimiser each."""

    name = "gan"
    recipe_names = ("quick",)


class EnsembleTrainer(ToyTrainer, MultiModelTrainer):
    """Members trained one after another, each from another seed, in folders of their own."""

    name = "toy"
    members = 2

    def train(self, job: TrainingJob) -> Evaluation | None:
        for number in range(self.members):
            member = replace(job, folder=job.folder / f"fold_{number}", fold_name=str(number), seed=number)
            fit(self, member)
        return validate(self, member)


@pytest.mark.slow
def test_an_ensemble_overrides_train(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = EnsembleTrainer(plan_of(tiny_work, 2), replace(QUICK, epochs=1))
    evaluation = train_fold(trainer, make_job(tiny_work, trainer.plan, tmp_path))
    assert evaluation is not None
    assert [case.id for case in evaluation.cases] == ["5_t1"]
    members = find_models([tmp_path])
    assert len(members) == 2
    first, second = (model.network(torch.device("cpu")).state_dict() for model in members)
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_preprocessing_and_slice_filter_of_a_recipe(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = PreparedTrainer(plan_of(tiny_work, 2), PreparedTrainer.recipe_named(None))
    job = make_job(tiny_work, trainer.plan, tmp_path)
    batches = make_batches(trainer, job, job.fold.train, 0)
    assert batches.make(0).images.shape == (2, 1, 48, 24)
    record = batches.sampler.stores[0].record
    assert record.shape == (6, 48, 24)
    assert record.slices == (1, 2, 3, 4)  # the others show no label
    assert record.spacing == pytest.approx((4.0, 3.0 * 72 / 48, 3.0 * 29 / 24))
    fit(trainer, job)
    scan = tiny_work.root.parent / "data" / "images" / "5_t1.mha"
    mask = predict(scan, tmp_path, device="cpu").mask
    assert mask.shape == (6, 72, 36)
    assert not mask[:, :, :3].any()  # cut off by the crop: background
    assert not mask[:, :, -4:].any()


def test_prepared_cases_are_made_once_and_apart(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = PreparedTrainer(plan_of(tiny_work, 2), PreparedTrainer.recipe_named(None))
    cases = tiny_work.preprocessed("2d_sagittal")
    folder = transform_cases(trainer.plan, trainer.recipe.transforms, cases, ("1_t1",))
    assert folder.parent == cases
    stamp = CaseStore(folder, "1_t1").image_path.stat().st_mtime_ns
    assert transform_cases(trainer.plan, trainer.recipe.transforms, cases, ("1_t1",)) == folder
    assert CaseStore(folder, "1_t1").image_path.stat().st_mtime_ns == stamp
    other = PreparedTrainer(trainer.plan, replace(trainer.recipe, transforms=trainer.recipe.transforms[:1]))
    assert transform_cases(other.plan, other.recipe.transforms, cases, ("1_t1",)) != folder
    assert transform_cases(trainer.plan, QUICK.transforms, cases, ("1_t1",)) == cases


def test_a_plan_that_the_trainer_does_not_take(tiny_work: WorkFolder) -> None:
    with pytest.raises(UserError, match="does not take the plan 3d_volume"):
        PreparedTrainer(plan_of(tiny_work, 3), QUICK)


def test_an_unknown_recipe_is_answered_with_the_known() -> None:
    with pytest.raises(UserError, match="quick, best"):
        ToyTrainer.recipe_named("fast")
    assert ToyTrainer.recipe_named(None) is QUICK


class SemanticTrainer(ToyTrainer):
    """Learns classes without levels."""

    name = "toy"
    scheme: ClassVar[str | None] = "semantic4"


def test_a_trainer_with_a_scheme_of_its_own(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = SemanticTrainer(plan_of(tiny_work, 2), QUICK)
    assert trainer.label_scheme.name == "semantic4"
    assert not trainer.encoding.ordered
    assert trainer.shape().out_channels == 1 + len(trainer.encoding.values)
    batch = make_batches(trainer, make_job(tiny_work, trainer.plan, tmp_path), ("1_t1",), 0).make(0)
    assert set(batch.labels.unique().tolist()) <= {*range(len(trainer.encoding.values) + 2)}


def test_a_scheme_without_a_place_for_any_label_is_refused(tiny_work: WorkFolder) -> None:
    class Axial(ToyTrainer):
        scheme = "axial4"

    plan = plan_of(tiny_work, 2)
    only = replace(plan.encoding.classes[0], values=(1,), levels=(1,))
    lonely = replace(plan, encoding=replace(plan.encoding, classes=(only,), levels=(1,)))
    with pytest.raises(UserError, match="finds no label of its scheme"):
        Axial(lonely, QUICK)


def test_a_recipe_may_ask_for_classes_instead_of_levels(tiny_work: WorkFolder) -> None:
    trainer = ToyTrainer(plan_of(tiny_work, 2), replace(QUICK, learns="classes"))
    assert not trainer.encoding.ordered
    assert trainer.encoding.channels == 12


def test_batchgenerators_augmentation_trains_classes_alone(tiny_work: WorkFolder, tmp_path: Path) -> None:
    settings = BatchgeneratorsSettings(rotation_probability=1.0, mirror_axes=(-1,))
    recipe, plan = replace(QUICK, learns="classes", augmentation=settings), plan_of(tiny_work, 2)
    trainer = ToyTrainer(plan, recipe)
    assert trainer.augmentation() == replace(settings, mirror_axes=())  # the plan allows none
    fit(trainer, make_job(tiny_work, plan, tmp_path))
    assert read_model(tmp_path).card.recipe == recipe
    with pytest.raises(UserError, match="does not move the centres"):
        ToyTrainer(plan, replace(recipe, learns="levels"))


@pytest.mark.parametrize(
    ("settings", "kind", "group"),
    [
        (OptimiserSettings("adamw", 1e-3, 0.02), torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.02}),
        (OptimiserSettings("adam", 1e-3, 0, 0.5, 0.9), torch.optim.Adam, {"betas": (0.5, 0.9)}),
        (OptimiserSettings("sgd", 0.1, 0, 0.99), torch.optim.SGD, {"momentum": 0.99, "nesterov": True}),
        (OptimiserSettings("sgd", 0.1, 0, 0.0), torch.optim.SGD, {"momentum": 0.0, "nesterov": False}),
    ],
)
def test_optimisers(settings: OptimiserSettings, kind: type, group: dict) -> None:
    made = make_optimiser(settings, torch.nn.Linear(2, 2))
    assert type(made) is kind
    assert group.items() <= made.param_groups[0].items()


def test_trainer_is_abstract_without_build() -> None:
    class Empty(Trainer):
        name = "empty"
        recipes: ClassVar[dict[str, Recipe]] = {"quick": QUICK}

    from tests.tiny import ordered_encoding

    with pytest.raises(TypeError, match="build"):
        Empty(make_plan(ordered_encoding()), QUICK)  # type: ignore[abstract]


def test_prepare_gives_fresh_networks_in_training_mode(tiny_work: WorkFolder) -> None:
    trainer = ToyTrainer(plan_of(tiny_work, 2), QUICK)
    context = prepare(trainer, trainer.shape(), Precision(), torch.device("cpu"), step=4)
    assert context.networks["network"].training
    assert context.step == 4
    assert set(context.updater.optimisers) == {"network"}
