from __future__ import annotations

import json
from dataclasses import replace

import pytest

from autospine.augmentation import AugmentationSettings, BatchgeneratorsSettings
from autospine.core.errors import UserError
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.preprocessing.transforms.base import TransformSettings

FULL = Recipe(
    "full",
    epochs=7,
    iterations_per_epoch=None,
    optimisers={"network": OptimiserSettings("sgd", 0.1), "critic": OptimiserSettings("adam")},
    schedule=ScheduleSettings("plateau", patience=3),
    learns="classes",
    batch=4,
    patch=(8, 16),
    transforms=(TransformSettings("centre_crop", {"rows": 0.5}), TransformSettings("resize", {"columns": 64})),
    augmentation=AugmentationSettings(),
    loss_weights={"dice": 2.0},
    checkpoint="best",
    monitor="iou",
)


NAMED = replace(FULL, name="batchgenerators", augmentation=BatchgeneratorsSettings(rotation_probability=0.5))


@pytest.mark.parametrize("recipe", [Recipe("default"), FULL, NAMED], ids=lambda recipe: recipe.name)
def test_through_json_and_back(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())), "model.json") == recipe


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rate": 1}, "rate"),
        ({"learns": "poetry"}, "poetry"),
        ({"epochs": "many"}, "epochs"),
        ({"schedule": {"kind": "cosine", "colour": 1}}, "colour"),
    ],
)
def test_what_is_no_recipe_is_a_users_error(change: dict, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        Recipe.from_dict({**FULL.to_dict(), **change}, "model.json")


def test_weights_of_loss_terms() -> None:
    assert FULL.weight("dice") == 2
    assert FULL.weight("cross_entropy") == 1
    assert FULL.weight("level", 0.3) == 0.3


def test_the_hash_follows_the_steps_alone() -> None:
    assert FULL.transforms_hash() == replace(FULL, epochs=9, name="other").transforms_hash()
    others = [
        replace(FULL, transforms=FULL.transforms[::-1]),
        replace(FULL, transforms=FULL.transforms[:1]),
        replace(FULL, transforms=(TransformSettings("centre_crop", {"rows": 0.6}), FULL.transforms[1])),
    ]
    assert len({FULL.transforms_hash(), *(other.transforms_hash() for other in others)}) == 4
