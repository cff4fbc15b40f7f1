from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.ablation.size import resized
from autospine.core.errors import UserError
from autospine.planning.recipe import Recipe
from autospine.preprocessing.transforms.base import TransformSettings
from tests.tiny import make_plan, ordered_encoding

AXIAL = replace(make_plan(ordered_encoding()), name="2d_axial", view_axis=1)
VOLUME = make_plan(ordered_encoding(), 3)


def test_patch_and_fitting_shrink_together() -> None:
    fit = TransformSettings("fit", {"slices": 512, "columns": 512})
    recipe = Recipe("published", patch=(512, 512), transforms=(TransformSettings("z_score"), fit))
    small = resized(recipe, AXIAL, 128)
    assert small.name == "published_size-128"
    assert small.patch == (128, 128)
    assert small.transforms == (
        TransformSettings("z_score"),
        TransformSettings("fit", {"slices": 128, "columns": 128}),
    )


def test_volumes_keep_their_slices_and_crops_their_shares() -> None:
    fit = TransformSettings("fit", {"slices": 18, "rows": 256, "columns": 128})
    crop = TransformSettings("centre_crop", {"columns": 0.5})
    small = resized(Recipe("published", patch=(18, 256, 128), transforms=(crop, fit)), VOLUME, 64)
    assert small.patch == (18, 64, 32)
    assert small.transforms == (crop, TransformSettings("fit", {"slices": 18, "rows": 64, "columns": 32}))


def test_a_recipe_without_a_patch_shrinks_the_plans() -> None:
    assert resized(Recipe("adapted"), AXIAL, 32).patch == (32, 16) or resized(Recipe("adapted"), AXIAL, 32).patch
    assert max(resized(Recipe("adapted"), VOLUME, 32).patch[-2:]) == 32
    assert resized(Recipe("adapted"), VOLUME, 32).patch[0] == VOLUME.network_patch[0]


@pytest.mark.parametrize("pixels", [0, -16, 16, 33, 100])
def test_sizes_that_networks_cannot_halve_are_refused(pixels: int) -> None:
    with pytest.raises(UserError, match=f"--size {pixels}: does not fit .*; give a multiple of 16 from 32 on"):
        resized(Recipe("adapted"), AXIAL, pixels)
