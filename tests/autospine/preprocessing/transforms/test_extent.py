from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.preprocessing.transforms.base import CaseData, TransformSettings, apply_transforms, make_transforms
from autospine.preprocessing.transforms.body import OtsuCrop
from autospine.preprocessing.transforms.extent import shape_after
from autospine.preprocessing.transforms.spatial import Fit
from tests.prepared import SPACING, any_step, shapes, views

LARGE = (15, 880, 880)


@settings(deadline=None)
@given(shapes, st.lists(any_step, max_size=3), views)
def test_it_is_what_the_steps_make_of_a_case(shape: tuple[int, int, int], steps: list, view: int | None) -> None:
    constant = CaseData(np.zeros((1, *shape), np.float32), None, SPACING, view_axis=view)
    made, _ = apply_transforms(steps, constant)
    assert shape_after(steps, shape, SPACING, view) == made.shape


def test_a_paper_s_steps_on_a_large_case() -> None:
    names = ("wavelet_denoise", "otsu_crop", "z_score")
    steps = make_transforms(
        (
            *map(TransformSettings, names),
            TransformSettings("fit", {"slices": 18, "rows": 256, "columns": 128}),
        )
    )
    assert shape_after(steps, LARGE, (4.0, 0.35, 0.35), None) == (18, 256, 128)


@pytest.mark.parametrize("view", [0, None])
def test_what_an_image_decides_is_taken_to_keep_all_of_it(view: int | None) -> None:
    assert shape_after([OtsuCrop()], LARGE, SPACING, view) == LARGE
    assert shape_after([], LARGE, SPACING, view) == LARGE
    assert shape_after([OtsuCrop(), Fit(rows=40, columns=20)], LARGE, SPACING, view) == (15, 40, 20)
