from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.labels.conversion import get_scheme
from autospine.preprocessing.transforms.base import (
    CaseData,
    TransformSettings,
    apply_transforms,
    make_transforms,
)
from autospine.preprocessing.transforms.slices import AnnotatedSlices

SPACING = (4.0, 1.0, 1.0)


def case(shown: list[int], view: int | None = 0, **changes: object) -> CaseData:
    mask = np.zeros((8, 8, 8), np.uint8)
    mask.swapaxes(0, view or 0)[shown, 3, 3] = 5
    image = np.zeros((1, 8, 8, 8), np.float32)
    return replace(CaseData(image, mask, SPACING, view_axis=view), **changes)


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize(("shown", "middle"), [([2, 3, 5], (3,)), ([1, 2, 6, 7], (2,)), ([4], (4,)), ([], ())])
def test_slices_that_show_a_label_and_the_middle_one(view: int, shown: list[int], middle: tuple) -> None:
    assert AnnotatedSlices().apply(case(shown, view)).slices == tuple(shown)
    assert AnnotatedSlices(middle=1).apply(case(shown, view)).slices == middle


def test_what_earlier_steps_dropped_stays_dropped() -> None:
    assert AnnotatedSlices().apply(case([2, 3, 5], slices=(0, 3, 5))).slices == (3, 5)
    assert AnnotatedSlices(1).apply(case([2, 3, 5], slices=(0, 5))).slices == (5,)


def test_unlabelled_voxels_are_no_annotation() -> None:
    scheme = replace(get_scheme("spider"), ignore_label=255)
    given = case([2, 4], scheme=scheme)
    given.mask[6] = 255
    assert AnnotatedSlices().apply(given).slices == (2, 4)


def test_prediction_and_the_way_back_see_everything() -> None:
    seen = case([2], mask=None)
    assert AnnotatedSlices(1).apply(seen) is seen
    values = np.ones((2, 8, 8, 8), np.float32)
    assert AnnotatedSlices().inverse(values, (8, 8, 8), np.zeros(2)) is values


def test_it_is_a_step_of_recipes_for_slices_alone() -> None:
    assert "annotated_slices" in registry.known("transforms")
    made = make_transforms((TransformSettings("annotated_slices", {"middle": 1}),))
    assert apply_transforms(made, case([2, 3, 5]))[0].slices == (3,)
    with pytest.raises(UserError, match="finds no slices in a plan of volumes"):
        apply_transforms(made, case([2], None))
    with pytest.raises(UserError, match="middle"):
        make_transforms((TransformSettings("annotated_slices", {"middle": 2}),))
