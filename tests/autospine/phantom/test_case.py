"""Phantom cases: bit-exact, anatomically in order, with the right contrasts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.series import Size

CASES = [(seed, index) for seed in (0, 5) for index in range(6)]


@cache
def case(seed: int, index: int) -> PhantomCase:
    return make_case(seed, index, Size.SMALL)


def centre(labels: np.ndarray, value: int) -> np.ndarray:
    return np.argwhere(labels == value).mean(axis=0)


def test_same_arguments_same_voxels() -> None:
    first, again = case(0, 1), make_case(0, 1, Size.SMALL)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.geometry == again.geometry


def test_another_seed_or_case_is_another_spine() -> None:
    shapes = {(c.image.shape, c.image.tobytes()[:4000]) for c in (case(*key) for key in CASES)}
    assert len(shapes) == len(CASES)


@pytest.mark.parametrize("key", CASES)
def test_labels_are_spiders_and_consecutive(key: tuple[int, int]) -> None:
    made = case(*key)
    count = len(made.vertebrae)
    assert 5 <= count <= 9
    assert made.vertebrae == tuple(range(1, count + 1))
    assert made.discs in (made.vertebrae, (*made.vertebrae, count + 1))
    others = set(np.unique(made.labels)) - set(made.vertebrae) - {200 + d for d in made.discs}
    assert others == {0, 100}
    assert made.labels.dtype == np.uint8 and made.image.dtype == np.int16


@pytest.mark.parametrize("key", CASES)
def test_vertebrae_and_discs_alternate_from_the_bottom(key: tuple[int, int]) -> None:
    made = case(*key)
    order = [v for level in made.vertebrae for v in (200 + level, level)]
    rows = [_column_row(made, value) for value in order]
    assert rows == sorted(rows, reverse=True)


def _column_row(made: PhantomCase, value: int) -> float:
    """Mean row of a structure in front of the canal, where only bodies and discs lie."""
    canal = np.argwhere(made.labels == 100)
    front = np.array([canal[canal[:, 1] == r, 2].min() if (canal[:, 1] == r).any() else 0
                      for r in range(made.labels.shape[1])])  # fmt: skip
    place = np.argwhere(made.labels == value)
    return float(place[place[:, 2] < front[place[:, 1]], 1].mean())


@pytest.mark.parametrize("key", CASES)
def test_discs_touch_both_of_their_vertebrae(key: tuple[int, int]) -> None:
    made = case(*key)
    for level in made.discs:
        near = set(np.unique(made.labels[binary_dilation(made.labels == 200 + level)]))
        wanted = {v for v in (level, level - 1) if v in made.vertebrae}
        assert wanted <= near
        assert not near & (set(made.vertebrae) - wanted)


@pytest.mark.parametrize("key", CASES)
def test_every_structure_is_one_piece(key: tuple[int, int]) -> None:
    made = case(*key)
    for value in np.unique(made.labels)[1:]:
        assert label(made.labels == value, np.ones((3, 3, 3)))[1] == 1, value


@pytest.mark.parametrize("key", CASES)
def test_canal_runs_behind_the_bodies_and_inside_the_arch(key: tuple[int, int]) -> None:
    made = case(*key)
    for level in made.vertebrae:
        vertebra = made.labels == level
        rows = np.unique(np.argwhere(vertebra)[:, 1])
        middle = int(np.median(rows))
        canal = np.argwhere(made.labels[:, middle] == 100)[:, 1]
        assert canal.size > 0
        columns = np.argwhere(vertebra)[:, 2]
        assert np.mean(columns < canal.min()) > 0.4  # the body
        assert columns.max() > canal.max()  # the spinous process


def test_no_labelled_vertebra_is_cut_by_the_upper_edge() -> None:
    for key in CASES:
        assert set(np.unique(case(*key).labels[:, 0])) <= {0, 100}


def test_posterior_elements_are_more_than_a_tenth_of_each_vertebra() -> None:
    made = case(0, 0)
    for level in made.vertebrae:
        columns = np.argwhere(made.labels == level)[:, 2]
        canal = np.argwhere(made.labels == 100)
        row = int(centre(made.labels, level)[1])
        assert np.mean(columns > canal[canal[:, 1] == row, 2].mean()) > 0.1


def _pairs() -> list[tuple[PhantomCase, PhantomCase]]:
    found = [case(0, i) for i in range(14)]
    by_id = {c.id: c for c in found}
    return [(c, by_id[f"{c.series.patient}_t2"]) for c in found
            if c.series.sequence == "t1" and f"{c.series.patient}_t2" in by_id]  # fmt: skip


def test_t1_and_t2_of_a_patient_share_the_mask() -> None:
    pairs = _pairs()
    assert pairs
    for t1, t2 in pairs:
        assert np.array_equal(t1.labels, t2.labels) and t1.geometry == t2.geometry
        assert not np.array_equal(t1.image, t2.image)


def _median(made: PhantomCase, values: list[int]) -> float:
    """Median grey value well inside the structures, over the middle slices."""
    middle = made.labels.shape[0] // 2
    part = slice(middle - 1, middle + 2)
    return float(np.median(made.image[part][np.isin(made.labels[part], values)]))


def test_water_is_dark_on_t1_and_bright_on_t2() -> None:
    sequences = set()
    for index in range(14):
        made = case(0, index)
        sequences.add(made.series.sequence)
        canal, marrow = _median(made, [100]), _median(made, list(made.vertebrae))
        if made.series.sequence == "t1":
            assert canal < marrow, made.id
        else:
            assert canal > marrow, made.id
    assert sequences == {"t1", "t2", "t2_SPACE"}


def test_t2_space_has_thin_slices() -> None:
    made = next(c for c in (case(0, i) for i in range(14)) if c.series.sequence == "t2_SPACE")
    assert max(made.spacing) / min(made.spacing) < 1.5


def test_grey_values_are_stretched_or_plain_as_in_spider() -> None:
    kinds = set()
    for key in CASES:
        made = case(*key)
        kinds.add(made.series.stretched)
        if made.series.stretched:
            assert (made.image.min(), made.image.max()) == (-1000, 3096)
            assert 0.01 < np.isin(made.image, (-1000, 3096)).mean() < 0.1
        else:
            assert made.image.min() >= 0
    assert kinds == {True, False}


@pytest.mark.slow
def test_full_size_is_one_piece_and_of_clinical_resolution() -> None:
    made = make_case(3, 0, Size.FULL)
    for value in np.unique(made.labels)[1:]:
        assert label(made.labels == value, np.ones((3, 3, 3)))[1] == 1
    assert 0.6 <= min(made.spacing) <= 1.0
    assert len(made.vertebrae) >= 6
