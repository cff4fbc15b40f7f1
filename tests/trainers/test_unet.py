from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from tests.contracts.trainer import TrainerContract
from tests.tiny import plan_of
from trainers.unet import UNetTrainer


class TestUNetTrainer(TrainerContract):
    """The steps of recipes for axial slices want slices of hundreds of pixels: those that any slice takes are kept."""

    name = "unet"
    recipe_names = ("adapted", "robust", "classification", "published", "axial", "axial_nnunet")

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        plan, recipe = super().small(plan, recipe)
        kept = tuple(step for step in recipe.transforms if step.name in ("derive_axial4", "z_score"))
        return plan, replace(recipe, transforms=kept)


@pytest.mark.parametrize(("recipe", "ordered"), [("adapted", True), ("classification", False)])
def test_the_adapted_recipe_counts_levels_and_the_others_look(
    tiny_work: WorkFolder, recipe: str, ordered: bool
) -> None:
    trainer = UNetTrainer(plan_of(tiny_work, 2), UNetTrainer.recipe_named(recipe))
    assert trainer.encoding.ordered == ordered


def test_papers_contribute_recipes_to_what_they_compare_themselves_with() -> None:
    assert set(UNetTrainer.contributed_recipes()) == {"safnet", "axial", "axial_nnunet"}
    assert set(UNetTrainer.recipes) == {"adapted", "robust", "classification", "published"}
    with pytest.raises(
        UserError, match="choose from adapted, robust, classification, published, safnet, axial, axial_nnunet"
    ):
        UNetTrainer.recipe_named("sagittal")
