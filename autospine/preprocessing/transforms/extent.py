"""How large a case becomes by a recipe's steps, known before they are applied to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.preprocessing.transforms.base import AnyTransform, CaseData, Shape, Transform
from autospine.preprocessing.transforms.spatial import Placement, SpatialTransform

Spacing = tuple[float, float, float]


def shape_after(steps: Sequence[AnyTransform], shape: Shape, spacing: Spacing, view_axis: int | None) -> Shape:
    """The grid after all steps; a crop to what an image shows is taken to keep all of it.

    Args:
        steps: Of a recipe.
        shape: Of the plan's grid, (slices, rows, columns).
        spacing: Its mm along the same axes.
        view_axis: The plan's.
    """
    for each in steps:
        blank = np.broadcast_to(np.float32(0), (1, *shape))  # one number in memory
        case = CaseData(blank, None, spacing, view_axis=view_axis)
        step = each if isinstance(each, Transform) else each.for_case(case)
        if isinstance(step, SpatialTransform):
            moved = step.placement(shape)
            shape, spacing = moved.shape, _spacing_after(moved, spacing)
    return shape


def _spacing_after(moved: Placement, spacing: Spacing) -> Spacing:
    old = [part.stop - part.start for part in moved.window]
    first, second, third = (s * (o / n) for s, o, n in zip(spacing, old, moved.size, strict=True))
    return first, second, third
