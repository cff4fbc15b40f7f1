from __future__ import annotations

import pytest

from autospine.work import WorkFolder
from tests.contracts.trainer import TrainerContract
from tests.tiny import plan_of
from trainers.unet import UNetTrainer


class TestUNetTrainer(TrainerContract):
    name = "unet"
    recipe_names = ("adapted", "classification", "published")


@pytest.mark.parametrize(("recipe", "chained"), [("adapted", True), ("classification", False)])
def test_the_adapted_recipe_counts_levels_and_the_others_look(
    tiny_work: WorkFolder, recipe: str, chained: bool
) -> None:
    trainer = UNetTrainer(plan_of(tiny_work, 2), UNetTrainer.recipe_named(recipe))
    assert trainer.encoding.chained == chained
