from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autospine.preprocessing.resampling import resize_labels
from autospine.volumes.resampling import resize

sizes = st.integers(1, 12)
shapes = st.tuples(sizes, sizes, sizes)


def present_labels(mask: np.ndarray) -> list[int]:
    return [int(v) for v in np.unique(mask) if v]


@given(hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 7, 201])))
def test_labels_of_the_same_size_are_left(mask: np.ndarray) -> None:
    assert np.array_equal(resize_labels(mask, mask.shape), mask)


@given(hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 7, 201])), shapes)
def test_no_label_is_invented(mask: np.ndarray, shape: tuple[int, int, int]) -> None:
    result = resize_labels(mask, shape)
    assert result.shape == shape
    assert result.dtype == mask.dtype
    assert set(np.unique(result)) <= {0, *np.unique(mask)}


def by_each_label(mask: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The definition, without any box: the label with the largest share of at least half."""
    labels = present_labels(mask)
    shares = np.stack([np.full(shape, 0.5 - 1e-7)] + [resize((mask == v).astype(np.float32), shape) for v in labels])
    return np.array([0, *labels])[shares.argmax(axis=0)], np.sort(shares, axis=0)


@settings(max_examples=60)
@given(hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 0, 1, 7, 201])), shapes)
def test_labels_are_those_with_the_largest_share(mask: np.ndarray, shape: tuple[int, int, int]) -> None:
    expected, shares = by_each_label(mask, shape)
    clear = (np.abs(shares[-1] - 0.5) > 1e-4) & ((shares[-1] - shares[-2] > 1e-4) if len(shares) > 1 else True)
    assert np.array_equal(resize_labels(mask, shape)[clear], expected[clear])


def balls(shape: tuple[int, int, int] = (24, 60, 40)) -> np.ndarray:
    mask, grid = np.zeros(shape, np.uint16), np.indices(shape)
    for label, row in ((1, 46), (2, 30), (202, 14)):
        away = sum((g - c) ** 2 for g, c in zip(grid, (12, row, 20), strict=True))
        mask[away < 49] = label
    return mask


@pytest.mark.parametrize("shape", [(24, 120, 80), (48, 60, 40), (24, 45, 30), (17, 71, 33), (12, 30, 20)])
def test_labels_volumes_and_places_stay(shape: tuple[int, int, int]) -> None:
    mask = balls()
    result = resize_labels(mask, shape)
    assert present_labels(result) == [1, 2, 202]
    scale = np.array(shape) / mask.shape
    for label in (1, 2, 202):
        assert (result == label).sum() == pytest.approx((mask == label).sum() * scale.prod(), rel=0.08)
        before = (np.argwhere(mask == label).mean(axis=0) + 0.5) * scale - 0.5
        assert np.argwhere(result == label).mean(axis=0) == pytest.approx(before, abs=0.35)


def test_there_and_back_is_nearly_the_same() -> None:
    mask = balls()
    back = resize_labels(resize_labels(mask, (24, 90, 60)), mask.shape)
    assert (back != mask).sum() < 0.05 * (mask > 0).sum()


def test_neighbouring_labels_leave_no_gap() -> None:
    mask = np.zeros((2, 20, 10), np.uint8)
    mask[:, :10], mask[:, 10:] = 1, 2
    assert (resize_labels(mask, (2, 33, 17)) > 0).all()


def test_an_empty_mask_stays_empty() -> None:
    assert not resize_labels(np.zeros((2, 5, 5), np.uint8), (2, 8, 3)).any()
