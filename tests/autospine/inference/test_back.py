from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.inference.back import add_streams, pick_slices, resize_stream
from autospine.volumes.resampling import resize, source_positions


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


@settings(max_examples=60, deadline=None)
@given(
    axis=st.integers(0, 2),
    before=st.tuples(*[st.integers(1, 20)] * 3),
    more=st.tuples(*[st.integers(0, 20)] * 3),
    cuts=st.lists(st.integers(0, 100), max_size=5),
    seed=st.integers(0, 99),
)
def test_enlarging_a_stream_equals_enlarging_the_whole(axis: int, before, more, cuts, seed: int) -> None:
    after = tuple(b + m for b, m in zip(before, more, strict=True))
    array = np.random.default_rng(seed).normal(size=(3, *before)).astype(np.float32)
    found = joined(resize_stream(chunks_of(array, axis, cuts), axis, before, after), axis)
    np.testing.assert_allclose(found, resize(array, after), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    axis=st.integers(0, 2),
    before=st.tuples(*[st.integers(2, 24)] * 3),
    after=st.tuples(*[st.integers(1, 24)] * 3),
    cuts=st.lists(st.integers(0, 100), max_size=5),
)
def test_any_size_is_linear_interpolation_along_the_streamed_axis(axis: int, before, after, cuts) -> None:
    """Against numpy's own interpolation, the other axes left alone."""
    after = tuple(after[a] if a == axis else n for a, n in enumerate(before))
    array = np.random.default_rng(1).normal(size=(2, *before)).astype(np.float32)
    found = joined(resize_stream(chunks_of(array, axis, cuts), axis, before, after), axis)
    places, own = source_positions(before[axis], after[axis]), np.arange(before[axis])
    expected = np.apply_along_axis(lambda line: np.interp(places, own, line), axis + 1, array)
    np.testing.assert_allclose(found, expected, atol=1e-5)


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
