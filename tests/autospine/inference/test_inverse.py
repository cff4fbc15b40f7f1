"""The inverse of chunks is the inverse of the whole case, and holds a few planes."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autospine.core.precision import Precision
from autospine.inference.inverse import (
    PLANES,
    add_streams,
    invert_stream,
    pick_slices,
    resize_stream,
    spatial_transforms,
)
from autospine.inference.predictor import ModelGroup
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import plain_encoding
from autospine.preprocessing.transforms.base import (
    AnyTransform,
    CaseData,
    Shape,
    TransformSettings,
    apply_transforms,
)
from autospine.preprocessing.transforms.intensity import ZScore
from autospine.preprocessing.transforms.spatial import CentreCrop, Fit, Pad, Resize
from autospine.volumes.resampling import resize
from tests.tiny import make_plan, spine_image, spine_mask
from tests.toys import BrightnessTrainer
from tests.transforms import any_transform, invert_transforms, noise_case, views

FILL = np.array([1.0, 0.0], np.float32)
SPINE = spine_image(spine_mask())
sizes = st.tuples(*[st.integers(1, 30)] * 3)


@dataclass(frozen=True)
class Turn:
    """A step that is no placement: upside down."""

    def apply(self, case: CaseData) -> CaseData:
        return replace(case, image=case.image[:, :, ::-1].copy())

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        return values[:, :, ::-1].copy()


def chunks_of(array: np.ndarray, axis: int, cuts: list[int]) -> list[tuple[int, np.ndarray]]:
    """The array in uneven chunks."""
    edges = sorted({0, array.shape[axis + 1], *(c % array.shape[axis + 1] for c in cuts)})
    parts = np.split(array, edges[1:-1], axis=axis + 1)
    return list(zip(edges, parts, strict=False))


def joined(stream, axis: int) -> np.ndarray:
    parts, expected = [], 0
    for first, values in stream:
        assert first == expected
        expected += values.shape[axis + 1]
        parts.append(values)
    return np.concatenate(parts, axis=axis + 1)


@settings(deadline=None, max_examples=150)
@example((20, 23, 29), None, [CentreCrop(columns=0.5), Fit(9, 40, 12)], 1, [7], 0)
@example((3, 30, 20), 0, [Resize(rows=64), Turn(), Pad(columns=40)], 0, [1], 0)
@given(
    sizes,
    views,
    st.lists(any_transform, max_size=4),
    st.integers(0, 2),
    st.lists(st.integers(0, 100), max_size=5),
    st.integers(0, 9),
)
def test_chunks_go_back_as_the_whole_case_does_to_the_last_bit(
    shape: Shape, view: int | None, transforms: list[AnyTransform], axis: int, cuts: list[int], seed: int
) -> None:
    case, applied = apply_transforms(transforms, noise_case(shape, view=view))
    values = np.random.default_rng(seed).random((2, *case.shape), np.float32)
    chunks = chunks_of(values, axis, cuts)
    found = joined(invert_stream(spatial_transforms(applied, case.shape), iter(chunks), axis, FILL), axis)
    np.testing.assert_array_equal(found, invert_transforms(applied, values, FILL))


@pytest.mark.parametrize("transforms", [[Resize(rows=40)], [Pad(rows=90)], [CentreCrop(rows=0.5)], [ZScore()]])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_long_inverse_holds_a_few_planes(transforms: list[AnyTransform], axis: int) -> None:
    """Every chunk is thin, and the first ones come before the last are there."""
    taken: list[int] = []
    case, applied = apply_transforms(transforms, noise_case((60, 60, 4)))

    def chunks():
        for first in range(0, case.shape[axis], 2):
            taken.append(first)
            shape = [2 if a == axis else n for a, n in enumerate(case.shape)]
            yield first, np.zeros((2, *shape), np.float32)

    stream = invert_stream(spatial_transforms(applied, case.shape), chunks(), axis, FILL)
    thickest = 0
    for first, values in stream:
        thickest = max(thickest, values.shape[axis + 1])
        assert first + 2 * PLANES + 20 > (taken[-1] if taken else 0) * 60 / case.shape[axis]
    assert thickest <= PLANES
    assert len(taken) == case.shape[axis] // 2


def test_no_array_of_all_classes_is_held() -> None:
    """Every axis moves, as in `safnet published`; what comes out is far larger than what is held."""
    start, fill = noise_case((9, 220, 220), view=None), np.eye(1, 18, dtype=np.float32)[0]
    case, applied = apply_transforms([CentreCrop(columns=0.5), Fit(6, 64, 32), ZScore()], start)
    values = np.random.default_rng(0).random((18, *case.shape), np.float32)
    tracemalloc.start()
    try:
        whole = sum(
            chunk.nbytes
            for _, chunk in invert_stream(spatial_transforms(applied, case.shape), iter([(0, values)]), 1, fill)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole == 18 * 4 * 9 * 220 * 220
    assert peak < whole / 3


def test_what_moved_is_known() -> None:
    case, applied = apply_transforms([ZScore(), Resize(rows=40), Turn()], noise_case((5, 30, 20)))
    turn, resize = spatial_transforms(applied, case.shape)
    assert isinstance(turn.transform, Turn)
    assert turn.crop_resize_pad is None
    assert [turn.keeps(axis) for axis in range(3)] == [False] * 3
    assert [resize.keeps(axis) for axis in range(3)] == [True, False, True]


TRANSFORMS = {
    "none": (),
    "other rows": (
        TransformSettings("centre_crop", {"columns": 0.8}),
        TransformSettings("resize", {"rows": 50}),
    ),
    "other slices": (TransformSettings("fit", {"slices": 9}),),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_slices_that_nobody_wants_are_not_put_through_the_network(tmp_path: Path, save, name: str) -> None:
    """Unless a step moves slices; the answer of the others is the same."""
    plan = make_plan(plain_encoding(get_scheme("spider"), (1, 100)))
    recipe = replace(BrightnessTrainer.recipes["only"], transforms=TRANSFORMS[name], patch=(48, 24))
    model = save(tmp_path / "model", BrightnessTrainer(plan, recipe))
    seen = []

    def answered(wanted: range | None) -> np.ndarray:
        group = ModelGroup([model], (1.0,), torch.device("cpu"), Precision())
        forward, count = group._forward, [0]

        def counted(windows: torch.Tensor) -> torch.Tensor:
            count[0] += len(windows)
            return forward(windows)

        group._forward = counted  # type: ignore[method-assign]
        answer = joined(group.outputs(SPINE[None], (4.0, 3.0, 3.0), wanted), 0)
        seen.append(count[0])
        return answer

    whole, part = answered(None), answered(range(0, 6, 3))
    np.testing.assert_array_equal(part, whole[:, ::3])
    assert seen[1] * (1 if name == "other slices" else 3) == seen[0]


# Resizing, adding and picking.


@settings(max_examples=100, deadline=None)
@given(
    axis=st.integers(0, 2),
    before=st.tuples(*[st.integers(1, 24)] * 3),
    after=st.tuples(*[st.integers(1, 40)] * 3),
    cuts=st.lists(st.integers(0, 100), max_size=5),
    seed=st.integers(0, 99),
)
def test_a_stream_is_resized_as_the_whole_array_is_to_the_last_bit(axis: int, before, after, cuts, seed: int) -> None:
    """Averaged where an axis shrinks, the streamed one too."""
    array = np.random.default_rng(seed).normal(size=(3, *before)).astype(np.float32)
    found = joined(resize_stream(chunks_of(array, axis, cuts), axis, before, after), axis)
    np.testing.assert_array_equal(found, resize(array, after))


@given(
    axis=st.integers(0, 2),
    parts=st.integers(1, 6),
    measured=st.integers(1, 6),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
def test_measured_slices_are_picked_whatever_the_slabs(axis: int, parts: int, measured: int, cuts) -> None:
    wanted = range(0, (measured - 1) * parts + 1, parts)
    array = np.random.default_rng(0).normal(size=(2, wanted[-1] + 1, 7, 5)).astype(np.float32)
    found = joined(pick_slices(chunks_of(array, axis, cuts), axis, wanted), axis)
    np.testing.assert_array_equal(found, array[:, wanted])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_same_grid_passes_through(axis: int) -> None:
    array = np.random.default_rng(0).normal(size=(2, 20, 11, 12)).astype(np.float32)
    found = joined(resize_stream(chunks_of(array, axis, [3, 9]), axis, (20, 11, 12), (20, 11, 12)), axis)
    np.testing.assert_array_equal(found, array)


def test_probabilities_stay_probabilities() -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(4), (6, 7, 8)).astype(np.float32)
    array = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    found = joined(resize_stream(chunks_of(array, 1, [2, 5]), 1, (6, 7, 8), (13, 15, 4)), 1)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert found.min() >= 0


def test_a_long_stream_holds_a_few_planes_only() -> None:
    """What comes out early is there before what goes in late."""
    taken = []

    def chunks():
        for first in range(0, 100, 10):
            taken.append(first)
            yield first, np.zeros((1, 3, 10, 3), np.float32)

    stream = resize_stream(chunks(), 1, (3, 100, 3), (3, 150, 3))
    next(stream)
    assert taken == [0]


@settings(max_examples=40, deadline=None)
@given(
    axis=st.integers(0, 2),
    size=st.tuples(*[st.integers(1, 12)] * 3),
    cuts=st.lists(st.lists(st.integers(0, 100), max_size=4), min_size=1, max_size=4),
)
def test_streams_in_different_slabs_add_up(axis: int, size, cuts) -> None:
    arrays = [np.full((2, *size), 10.0**k) + np.arange(np.prod(size)).reshape(size) for k in range(len(cuts))]
    kept = [array.copy() for array in arrays]
    streams = [chunks_of(array, axis, own) for array, own in zip(arrays, cuts, strict=True)]
    np.testing.assert_array_equal(joined(add_streams(streams, axis), axis), sum(arrays))
    assert all(np.array_equal(a, b) for a, b in zip(arrays, kept, strict=True))
