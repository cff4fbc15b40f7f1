from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.preprocessing.transforms.base import TransformSettings
from autospine.training import budget
from autospine.training.loading import augmented, make_batches
from autospine.training.run import TrainRequest, train
from autospine.training.trainer import prepare
from tests.contracts.trainer import CPU, TrainerContract
from tests.tiny import make_job, plan_of
from tests.trainers.wgan_resunet.test_trainer import planned
from trainers.wgan_resunet.comparison import SegNetTrainer
from trainers.wgan_resunet.recipes import published
from trainers.wgan_resunet.spine_gan import DISCRIMINATOR, SpineGANTrainer
from trainers.wgan_resunet.trainer import WGANResUNetTrainer


class AxialContract(TrainerContract):
    """The published recipe's steps need axial slices of 512 pixels: the contract keeps those that any slice takes."""

    dimensions = (2,)

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        plan, recipe = super().small(plan, recipe)
        kept = tuple(step for step in recipe.transforms if step.name in ("derive_axial4", "z_score"))
        return plan, replace(recipe, transforms=kept)


class TestSegNetTrainer(AxialContract):
    name = "segnet"
    widths = (4, 8, 8, 8, 8)


class TestDeepLabV3PlusTrainer(AxialContract):
    name = "deeplabv3plus"
    widths = (8,) * 5


class TestSpineGANTrainer(AxialContract):
    name = "spine_gan"
    widths = (8, 16, 16)


COMPARATORS = {  # side, batch, epochs
    ("unet", "axial"): (256, 4, 500),
    ("segnet", "published"): (256, 4, 500),
    ("deeplabv3plus", "published"): (512, 2, 500),
    ("spine_gan", "published"): (512, 2, 500),
    ("unet", "axial_nnunet"): (512, 2, 1000),
}


@pytest.mark.parametrize(("name", "recipe_name"), COMPARATORS)
def test_sizes_batches_and_epochs_are_those_of_table_1(name: str, recipe_name: str) -> None:
    side, batch, epochs = COMPARATORS[name, recipe_name]
    recipe = registry.load("trainers", name).recipe_named(recipe_name)
    assert (recipe.epochs, recipe.batch, recipe.patch) == (epochs, batch, (side, side))
    assert TransformSettings("fit", {"slices": side, "columns": side}) in recipe.transforms
    assert recipe.split == published(side, batch).split


@pytest.mark.parametrize(("name", "recipe_name"), COMPARATORS)
def test_the_published_recipe_wants_axial_slices(tiny_work: WorkFolder, name: str, recipe_name: str) -> None:
    kind = registry.load("trainers", name)
    with pytest.raises(UserError, match="use --plan 2d_axial, or --recipe adapted"):
        kind(plan_of(tiny_work, 2), kind.recipe_named(recipe_name))


@pytest.mark.parametrize("name", ["segnet", "spine_gan"])
def test_volumes_are_refused(tiny_work: WorkFolder, name: str) -> None:
    kind = registry.load("trainers", name)
    with pytest.raises(UserError, match="sees slices, 3d_volume volumes; use --plan 2d_axial"):
        kind(plan_of(tiny_work, 3), kind.recipe_named("adapted"))


def test_published_comparators_learn_bodies_foramina_and_laminae(tiny_work: WorkFolder) -> None:
    kind = registry.load("trainers", "segnet")
    plan = replace(plan_of(tiny_work, 2), name="2d_axial", view_axis=1)
    trainer = kind(plan, kind.recipe_named("published"))
    assert [str(a.kind.value) for a in trainer.label_scheme.anatomies.values()] == [
        "body",
        "foramen",
        "lamina",
    ]
    assert trainer.encoding.channels == 4
    own = kind(plan, kind.recipe_named("adapted"))
    assert own.label_scheme == plan.scheme


def test_all_else_is_as_in_the_papers_own_recipe() -> None:
    ours, small = WGANResUNetTrainer.recipes["published"], published(256, 4)
    assert [step.name for step in small.transforms] == [step.name for step in ours.transforms]
    assert (small.split, small.augmentation, small.epochs) == (ours.split, ours.augmentation, ours.epochs)
    assert published(512, 4).transforms == ours.transforms


@pytest.mark.parametrize(("name", "recipe_name"), [("segnet", "published"), ("unet", "axial_nnunet")])
def test_the_published_recipe_trains_on_axial_slices_and_writes_tables_2_to_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recipe_name: str
) -> None:
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    monkeypatch.setattr(SegNetTrainer, "widths", (4, 4, 4, 4, 4))
    kind, small = registry.load("trainers", name), published(32, 4)
    recipe = replace(
        kind.recipe_named(recipe_name), patch=small.patch, transforms=small.transforms, iterations_per_epoch=1
    )
    monkeypatch.setattr(kind, "recipes", {recipe_name: recipe})
    work = planned(tmp_path)
    train(TrainRequest(work.root, name, plan="2d_axial", epochs=1, device="cpu"))
    folder = work.model(name, "2d_axial", recipe_name, "0") / "test"
    assert "| SegNet (paper) |" in (folder / "tables_2_to_4.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "recipe_name"), COMPARATORS)
def test_published_slices_have_square_pixels_and_strides(tiny_work: WorkFolder, name: str, recipe_name: str) -> None:
    """Though the plan, for slices 4.4 mm apart, strides along the columns alone."""
    kind = registry.load("trainers", name)
    plan = plan_of(tiny_work, 2)
    network = replace(plan.network, strides=((1, 1), *((1, 2),) * (len(plan.network.strides) - 1)))
    plan = replace(plan, name="2d_axial", view_axis=1, network=network)
    across, along = kind(plan, kind.recipe_named(recipe_name)).shape().scale_factor
    assert across == along > 1


def test_the_unets_stages_are_those_of_its_slices(tiny_work: WorkFolder) -> None:
    kind = registry.load("trainers", "unet")
    plan = replace(plan_of(tiny_work, 2), name="2d_axial", view_axis=1)
    plan = replace(plan, network=replace(plan.network, widths=(32, *plan.network.widths[1:])))
    small, large = (kind(plan, kind.recipe_named(name)).shape() for name in ("axial", "axial_nnunet"))
    assert small.widths == (32, 64, 128, 256, 512, 512)
    assert large.widths == (*small.widths, 512)
    assert set(small.strides[1:]) == {(2, 2)}
    assert kind(plan, kind.recipe_named("adapted")).shape().strides == plan.network.strides


def test_published_slices_are_not_mirrored(tiny_work: WorkFolder) -> None:
    kind = registry.load("trainers", "segnet")
    plan = replace(plan_of(tiny_work, 2), name="2d_axial", view_axis=1, mirror_axes=(0,))
    mirrored = [kind(plan, kind.recipe_named(name)).augmentation().mirror_axes for name in kind.recipes]
    assert mirrored == [(-2,), ()]


def spine_gan(work: WorkFolder, adversarial: float) -> SpineGANTrainer:
    kind = type("Narrow", (SpineGANTrainer,), {"widths": (8, 16, 16), "discriminator_width": 4})
    recipe = replace(kind.recipe_named(None), batch=2, augmentation=None, loss_weights={"adversarial": adversarial})
    return kind(plan_of(work, 2), recipe)


def moved(work: WorkFolder, folder: Path, adversarial: float) -> tuple[dict[str, float], torch.Tensor]:
    trainer = spine_gan(work, adversarial)
    batch = TestSpineGANTrainer().batch(trainer, work, folder)
    torch.manual_seed(0)
    context = prepare(trainer, trainer.shape(), Precision(), CPU)
    terms = trainer.training_step(context, augmented(trainer, batch, context.precision))
    weight = context.networks["network"].head.weight.detach().clone()
    return {name: float(value) for name, value in terms.items()}, weight


def test_the_discriminator_moves_the_segmenter(tiny_work: WorkFolder, tmp_path: Path) -> None:
    terms, with_it = moved(tiny_work, tmp_path, 5.0)
    alone, without = moved(tiny_work, tmp_path, 0.0)
    assert not torch.equal(with_it, without)
    assert terms["loss"] == pytest.approx(alone["loss"] + 5.0 * terms["adversarial"], rel=1e-4)


@pytest.mark.parametrize("side", [3, 7])
def test_slices_smaller_than_the_discriminator_halves_are_enlarged(
    tiny_work: WorkFolder, tmp_path: Path, side: int
) -> None:
    trainer = spine_gan(tiny_work, 1.0)
    batch = TestSpineGANTrainer().batch(trainer, tiny_work, tmp_path)
    batch = replace(batch, images=batch.images[..., :side], labels=batch.labels[..., :side])
    context = prepare(trainer, trainer.shape(), Precision(), CPU)
    terms = trainer.training_step(context, batch)
    assert all(bool(term.isfinite()) for term in terms.values())


def test_rare_classes_weigh_more(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = spine_gan(tiny_work, 0.0)
    assert trainer.class_weights is None
    job = make_job(tiny_work, trainer.plan, tmp_path)
    trainer.fit_statistics(make_batches(trainer, job, job.fold.train, 0).sampler)
    assert trainer.class_weights is not None
    assert trainer.class_weights[0] == min(trainer.class_weights)
    assert trainer.loss().semantic.class_weights.tolist() == pytest.approx(trainer.class_weights)
    assert set(trainer.build_all(trainer.shape())) == {"network", DISCRIMINATOR}
