from __future__ import annotations

from dataclasses import replace

from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from tests.contracts.trainer import TrainerContract
from tests.tiny import plan_of
from trainers.medfusionnet.comparators import DeepLabV3Trainer, UNetPlusPlusTrainer
from trainers.unet import UNetTrainer


class TestUNetPlusPlusTrainer(TrainerContract):
    name = "unetplusplus"
    recipe_names = ("adapted",)


class TestResUNetTrainer(TrainerContract):
    name = "resunet"
    recipe_names = ("adapted",)


class TestDeepLabV3Trainer(TrainerContract):
    name = "deeplabv3"
    recipe_names = ("adapted",)
    widths = (8,) * 5


class TestCFNetTrainer(TrainerContract):
    name = "cfnet"
    recipe_names = ("adapted", "safnet")
    widths = (4, 4, 4, 8, 8, 8)
    steps = 15

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        plan, recipe = super().small(plan, recipe)
        return plan, replace(recipe, transforms=())


def test_comparators_train_as_the_baseline_does(tiny_work: WorkFolder) -> None:
    recipe = UNetPlusPlusTrainer.recipe_named(None)
    assert recipe == UNetTrainer.recipe_named(None)
    plan = plan_of(tiny_work, 2)
    assert UNetPlusPlusTrainer(plan, recipe).encoding == UNetTrainer(plan, recipe).encoding


def test_deeplab_is_strided_along_the_plans_axes(tiny_work: WorkFolder) -> None:
    plan = plan_of(tiny_work, 3)
    shape = DeepLabV3Trainer(plan, DeepLabV3Trainer.recipe_named(None)).shape()
    stages = min(len(plan.network.strides), 5)
    assert shape.strides[:stages] == plan.network.strides[:stages]
    assert len(shape.strides) == 5
