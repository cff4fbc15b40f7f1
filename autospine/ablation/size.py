"""A recipe on smaller slices than its paper's."""

from __future__ import annotations

from dataclasses import replace

from autospine.core.errors import UserError
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.preprocessing.transforms.base import TransformSettings

MULTIPLE, SMALLEST = 16, 32  # pixels; networks halve their input four times
AXES = ("slices", "rows", "columns")
SIZED = ("fit", "resize", "pad")  # transforms whose numbers are pixels


def resized(recipe: Recipe, plan: Plan, pixels: int) -> Recipe:
    """Return the recipe with slices whose longer side has so many pixels; other axes of volumes stay.

    Sides are scaled alike and rounded to multiples of 16.

    Raises:
        UserError: The number is no multiple of 16, or below 32.
    """
    if pixels < SMALLEST or pixels % MULTIPLE:
        hint = f"give a multiple of {MULTIPLE} from {SMALLEST} on"
        raise UserError(f"--size {pixels}", "does not fit a network that halves its input four times", hint)
    patch = recipe.patch or plan.network_patch
    share = pixels / max(patch[-2:])
    in_plane = [AXES[axis] for axis in plan.network_axes[-2:]]
    return replace(
        recipe,
        name=f"{recipe.name}_size-{pixels}",
        patch=(*patch[:-2], *(_side(side, share) for side in patch[-2:])),
        transforms=tuple(_resize(transform, in_plane, share) for transform in recipe.transforms),
    )


def _side(side: float, share: float) -> int:
    return max(round(side * share / MULTIPLE) * MULTIPLE, MULTIPLE)


def _resize(transform: TransformSettings, in_plane: list[str], share: float) -> TransformSettings:
    if transform.name not in SIZED:
        return transform
    scaled = {
        name: _side(value, share) if name in in_plane and value else value for name, value in transform.settings.items()
    }
    return replace(transform, settings=scaled)
