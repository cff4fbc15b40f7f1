from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.preprocessing.transforms.base import (
    AnyTransform,
    CaseTransform,
    Transform,
    TransformSettings,
    apply_transforms,
    make_transforms,
)
from autospine.preprocessing.transforms.spatial import CentreCrop, Fit, Pad, Resize
from tests.transforms import FILL, any_transform, invert_transforms, noise_case, shapes, views


@settings(deadline=None)
@given(shapes, views, st.lists(any_transform, max_size=4))
def test_the_way_back_ends_on_the_grid_of_the_start(
    shape: tuple[int, int, int], view: int | None, chain: list[AnyTransform]
) -> None:
    start = noise_case(shape, view=view)
    case, way = apply_transforms(chain, start)
    assert case.mask is not None
    assert case.mask.shape == case.shape
    assert case.mask.dtype == np.uint8
    assert case.image.dtype == np.float32
    assert case.image.flags.c_contiguous
    assert np.isfinite(case.image).all()
    back = invert_transforms(way, case.image, FILL)
    assert back.shape == start.image.shape
    assert back.dtype == np.float32


@settings(deadline=None)
@given(shapes, views, any_transform)
def test_no_step_invents_a_label_or_overwrites_its_input(
    shape: tuple[int, int, int], view: int | None, step: AnyTransform
) -> None:
    start = noise_case(shape, view=view)
    assert start.mask is not None
    image, mask = start.image.copy(), start.mask.copy()
    case, _ = apply_transforms([step], start)
    assert set(np.unique(case.mask)) <= {0, *np.unique(mask)}
    assert np.array_equal(start.image, image)
    assert np.array_equal(start.mask, mask)


@settings(deadline=None)
@given(shapes, views, any_transform, st.sampled_from([0.0, 0.3, -1000.0]))
def test_a_constant_image_stays_finite_and_even(
    shape: tuple[int, int, int], view: int | None, step: AnyTransform, value: float
) -> None:
    start = replace(noise_case(shape, view=view), image=np.full((1, *shape), value, np.float32))
    case, way = apply_transforms([step], start)
    inside = invert_transforms(way, case.image, np.zeros(1, np.float32))
    assert np.isfinite(case.image).all()
    assert np.isfinite(inside).all()
    pads = isinstance(step, Pad | Fit) and step.zero
    assert pads or np.ptp(case.image) <= 1e-5 * abs(value)


@settings(deadline=None)
@given(shapes, views, any_transform, st.data())
def test_slices_that_take_part_are_slices_of_the_case(
    shape: tuple[int, int, int], view: int | None, step: AnyTransform, data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.integers(0, shape[view or 0] - 1)))
    start = noise_case(shape, slices=tuple(sorted(kept)) if view is not None else None, view=view)
    case, _ = apply_transforms([step], start)
    if view is None:
        assert case.slices is None
    else:
        assert case.slices is not None
        assert set(case.slices) <= set(range(case.shape[view]))
        assert list(case.slices) == sorted(case.slices)


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["transforms"]))
def test_every_step_is_found_with_its_own_numbers(name: str) -> None:
    made, again = make_transforms((TransformSettings(name), TransformSettings(name)))
    assert made == again
    assert isinstance(made, Transform | CaseTransform)
    numbers = {field.name: float(getattr(made, field.name)) for field in fields(made)}  # type: ignore[arg-type]
    assert make_transforms((TransformSettings(name, numbers),)) == [made]


def test_prediction_has_no_mask() -> None:
    for step in (CentreCrop(rows=0.5), Resize(rows=5)):
        assert step.apply(replace(noise_case((3, 10, 8)), mask=None)).mask is None


def test_steps_are_made_from_a_recipe() -> None:
    settings = (TransformSettings("centre_crop", {"rows": 0.5}), TransformSettings("resize", {"columns": 64}))
    assert make_transforms(settings) == [CentreCrop(rows=0.5), Resize(columns=64)]


@pytest.mark.parametrize(
    ("name", "numbers", "problem"),
    [
        ("denoise_by_magic", {}, "is none of the transforms; choose from .*centre_crop.*resize"),
        ("centre_crop", {"height": 1}, "does not take height; use columns, rows, slices"),
        ("centre_crop", {"rows": 1.5}, "rows is 1.5"),
        ("centre_crop", {"rows": -0.5}, "rows is -0.5"),
        ("resize", {"rows": -3}, "rows is -3"),
        ("resize", {"rows": 2.5}, "rows is 2.5"),
    ],
)
def test_what_a_step_cannot_do_is_named(name: str, numbers: dict[str, float], problem: str) -> None:
    with pytest.raises(UserError, match=f"{name}: {problem}"):
        make_transforms((TransformSettings(name, numbers),))
