"""What every trainer of the project keeps, whatever it trains. A trainer's test inherits TrainerContract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from autospine.core import registry
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.inference.model import read_model, save_model
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.training import budget, loop
from autospine.training.data import Batch
from autospine.training.loading import augmented, make_batches
from autospine.training.loop import fit
from autospine.training.run import train_fold
from autospine.training.trainer import Trainer, prepare
from autospine.volumes import read_image
from tests.paths import ROOT
from tests.tiny import make_job, plan_of

CPU = torch.device("cpu")
KILLED_AT = 5


class TrainerContract:
    """Name the trainer, and override the rest where it claims less.

    Attributes:
        name: What --trainer takes.
        recipe_names: Recipes that must exist; the first is the default.
        dimensions: Of the plans that it takes.
        widths: Narrower ones, for a trainer that has its own in the class attribute `widths`.
        steps: Updates after which the loss on one batch must be lower.
        lower: Share of the first losses that the last ones may be.
        loss_term: Which term must go down.
    """

    name: str
    recipe_names: tuple[str, ...] = ("adapted", "published")
    dimensions: tuple[int, ...] = (2, 3)
    widths: tuple[int, ...] | None = None
    steps: int = 30
    lower: float = 0.9
    loss_term: str = "loss"

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        """A plan and a recipe for seconds; override where the trainer needs larger patches."""
        return plan, replace(recipe, epochs=3, iterations_per_epoch=3, batch=2, patch=None, min_updates=1, plans=())

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "dimension" in metafunc.fixturenames:
            metafunc.parametrize("dimension", self.dimensions, ids=lambda d: f"{d}d")
        if "recipe_name" in metafunc.fixturenames:
            metafunc.parametrize("recipe_name", self.recipe_names)

    @pytest.fixture(autouse=True)
    def _float32(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
        yield

    @property
    def kind(self) -> type[Trainer]:
        return registry.load("trainers", self.name)

    @property
    def all_recipes(self) -> dict[str, Recipe]:
        return {**self.kind.recipes, **self.kind.contributed_recipes()}

    def make(self, work: WorkFolder, dimension: int, recipe_name: str | None = None) -> Trainer:
        plan, recipe = self.small(plan_of(work, dimension), self.kind.recipe_named(recipe_name))
        kind = self.kind
        if self.widths:
            kind = type(kind.__name__, (kind,), {"widths": self.widths})
        return kind(plan, recipe)

    def batch(self, trainer: Trainer, work: WorkFolder, folder: Path) -> Batch:
        job = make_job(work, trainer.plan, folder)
        return make_batches(trainer, job, job.fold.train, 0).make(0)

    def run_on(self, trainer: Trainer, batch: Batch, steps: int) -> tuple[budget.Context, list[dict]]:
        torch.manual_seed(0)
        context = prepare(trainer, trainer.shape(), Precision(), CPU)
        return context, [
            trainer.training_step(replace(context, step=step), augmented(trainer, batch, context.precision))
            for step in range(steps)
        ]

    # What it says of itself.

    def test_it_is_found_by_its_name(self) -> None:
        assert self.kind.name == self.name
        assert issubclass(self.kind, Trainer)

    def test_its_recipes_exist_under_their_names(self) -> None:
        assert set(self.recipe_names) <= set(self.all_recipes)
        assert next(iter(self.kind.recipes)) == self.recipe_names[0]
        assert all(recipe.name == name for name, recipe in self.all_recipes.items())

    def test_its_recipes_go_through_json(self) -> None:
        for recipe in self.all_recipes.values():
            assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())), "recipe") == recipe

    def test_it_says_from_which_paper_it_is(self) -> None:
        assert self.kind.__doc__
        assert sys.modules[self.kind.__module__].__doc__

    def test_every_network_has_an_optimiser_in_every_recipe(self, tiny_work: WorkFolder, dimension: int) -> None:
        for name in self.all_recipes:
            trainer = self.make(tiny_work, dimension, name)
            networks = trainer.build_all(trainer.shape())
            assert self.kind.inference in networks
            assert set(networks) <= set(trainer.recipe.optimisers)

    def test_width_options_go_from_narrow_to_wide_up_to_the_plans(self, tiny_work: WorkFolder, dimension: int) -> None:
        trainer = self.make(tiny_work, dimension)
        sizes = []
        for shape in trainer.width_options():
            sizes.append(sum(p.numel() for p in trainer.build(shape).parameters()))
        assert sizes == sorted(sizes)
        assert all(s.out_channels == trainer.encoding.channels for s in trainer.width_options())

    # One update, and thirty.

    def test_an_update_moves_every_network(
        self, tiny_work: WorkFolder, tmp_path: Path, dimension: int, recipe_name: str
    ) -> None:
        trainer = self.make(tiny_work, dimension, recipe_name)
        batch = self.batch(trainer, tiny_work, tmp_path)
        torch.manual_seed(0)
        context = prepare(trainer, trainer.shape(), Precision(), CPU)
        before = {
            f"{name}.{key}": value.detach().clone()
            for name, network in context.networks.items()
            for key, value in network.named_parameters()
        }
        terms = trainer.training_step(context, augmented(trainer, batch, context.precision))
        assert "loss" in terms
        assert all(bool(value.isfinite().all()) for value in terms.values())
        assert not any(value.requires_grad for value in terms.values())
        still = [
            f"{name}.{key}"
            for name, network in context.networks.items()
            for key, value in network.named_parameters()
            if value.requires_grad and value.ndim > 1 and torch.equal(value, before[f"{name}.{key}"])
        ]
        assert still == []

    def test_the_loss_goes_down(self, tiny_work: WorkFolder, tmp_path: Path, dimension: int) -> None:
        trainer = self.make(tiny_work, dimension)
        trainer.recipe = replace(trainer.recipe, augmentation=None)
        _, terms = self.run_on(trainer, self.batch(trainer, tiny_work, tmp_path), self.steps)
        losses = [float(each[self.loss_term]) for each in terms]
        assert np.mean(losses[-5:]) < self.lower * np.mean(losses[:3])

    # The model.

    def test_a_model_saved_is_a_model_loaded(self, tiny_work: WorkFolder, tmp_path: Path, dimension: int) -> None:
        trainer = self.make(tiny_work, dimension)
        batch = self.batch(trainer, tiny_work, tmp_path)
        context, _ = self.run_on(trainer, batch, 2)
        network = context.networks[trainer.inference].eval()
        job = make_job(tiny_work, trainer.plan, tmp_path / "model")
        save_model(job.folder, trainer.model_card(trainer.shape(), job), network.state_dict())
        loaded = read_model(job.folder).network(CPU)
        with torch.no_grad():
            expected, found = network(batch.images), loaded(batch.images)
        assert isinstance(found, Tensor)
        assert found.shape == (len(batch.images), trainer.encoding.channels, *batch.images.shape[2:])
        assert torch.equal(found, expected)

    @pytest.mark.slow
    def test_it_trains_validates_and_predicts(self, tiny_work: WorkFolder, tmp_path: Path, dimension: int) -> None:
        from autospine.inference.predict import predict

        trainer = self.make(tiny_work, dimension)
        evaluation = train_fold(trainer, make_job(tiny_work, trainer.plan, tmp_path))
        assert evaluation is not None
        assert [case.id for case in evaluation.cases] == ["5_t1"]
        scan = tiny_work.root.parent / "data" / "images" / "6_t2.mha"
        found = predict(scan, tmp_path, device="cpu")
        assert found.mask.shape == read_image(scan).array.shape
        assert set(np.unique(found.mask)) <= {0, *found.scheme.anatomies}
        assert {report.value for report in found.labels} == set(np.unique(found.mask)) - {0}

    @pytest.mark.slow
    def test_killed_and_continued_it_ends_in_the_same_weights(
        self, tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SIGKILL in the middle of the second epoch; bit for bit the weights of a training that went through."""
        dimension = self.dimensions[0]
        trainer = self.make(tiny_work, dimension)
        through = make_job(tiny_work, trainer.plan, tmp_path / "through")
        fit(trainer, through)
        killed = make_job(tiny_work, trainer.plan, tmp_path / "killed", resume=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment["TRAINER"] = f"{type(self).__module__}:{type(self).__name__}"
        arguments = [str(tiny_work.root), str(killed.folder), str(dimension)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.contracts.killed", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -9, done.stderr[-2000:]
        assert not (killed.folder / "model.json").exists()
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        fit(trainer, killed)
        first, second = (load_file(job.folder / "weights.safetensors") for job in (through, killed))
        assert first.keys() == second.keys()
        assert [name for name in first if not torch.equal(first[name], second[name])] == []
