"""Posterior elements belong to the vertebra whose body they vote for, however near another body lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.inference.levels.decode import decode
from autospine.inference.levels.instances import Instance, OffsetVotes
from autospine.inference.levels.parts import voxels_by_instance, without_strays
from tests.spines import POSTERIOR, Spine, decoder_input_of, draw, encoding_of_parts

ENCODING = encoding_of_parts()


def values_of(labels: np.ndarray, low: int, high: int) -> list[int]:
    return [int(value) for value in np.unique(labels) if low < value < high]


@pytest.mark.parametrize("offset_axes", [(1, 2), (0, 1, 2)])
@pytest.mark.parametrize("sacrum", [0, 11])
@pytest.mark.parametrize("vertebrae", [4, 7])
def test_an_ideal_spine_comes_back_voxel_by_voxel(vertebrae: int, sacrum: int, offset_axes: tuple) -> None:
    encoding = encoding_of_parts(offset_axes=offset_axes)
    spine = draw(vertebrae, sacrum=sacrum, posterior=True)
    decoded = decode(decoder_input_of(spine, encoding), encoding)
    np.testing.assert_array_equal(decoded.labels, spine.labels)
    assert [one.value for one in decoded.label_results] == [v for v in np.unique(spine.labels) if v not in (0, 50, 100)]


def test_the_level_and_its_confidence_come_from_the_body() -> None:
    """Whatever the posterior elements say of their level, and however unsure of their class they are."""
    spine = draw(5, posterior=True)
    outputs = decoder_input_of(spine, ENCODING)
    posterior = outputs.semantic[tuple(outputs.voxels.T)] == 2
    levels, weights = outputs.levels.copy(), outputs.weights.copy()
    levels[posterior] = np.roll(levels[posterior], 2, axis=1)
    weights[posterior] = 0.4
    decoded = decode(replace(outputs, levels=levels, weights=weights), ENCODING)
    np.testing.assert_array_equal(decoded.labels, spine.labels)
    results = {one.value: one for one in decoded.label_results}
    for level in range(1, 6):
        assert results[POSTERIOR + level].confidence == results[level].confidence
        assert results[POSTERIOR + level].flags == results[level].flags == ()


def test_without_posterior_elements_the_decode_is_the_same() -> None:
    spine = draw(6, sacrum=11, posterior=True)
    bodies = spine.without(*range(POSTERIOR + 1, POSTERIOR + 9))
    whole = decode(decoder_input_of(spine, ENCODING), ENCODING)
    alone = decode(decoder_input_of(bodies, ENCODING), ENCODING)
    np.testing.assert_array_equal(np.where(whole.labels == spine.labels, bodies.labels, 99), alone.labels)
    assert [one for one in whole.label_results if not POSTERIOR < one.value < 200] == list(alone.label_results)


def test_a_spinous_process_without_its_body_is_no_other_ones() -> None:
    """The topmost body lies above the image, its process in it; that of a body that was not found stays unlabelled."""
    spine = draw(6, posterior=True)
    for overlooked in (spine.without(6), spine.without(3)):
        decoded = decode(decoder_input_of(overlooked, ENCODING), ENCODING)
        missing = 6 if overlooked.labels.max() and 6 not in overlooked.labels else 3
        expected = np.where(overlooked.labels == POSTERIOR + missing, 0, overlooked.labels)
        np.testing.assert_array_equal(decoded.labels, expected)


def test_the_process_of_a_dropped_instance_goes_with_it() -> None:
    """A piece of the sacrum taken for a body, with a process: neither goes to the lowest vertebra."""
    spine = draw(5, sacrum=19, posterior=True)
    labels, top = spine.labels.copy(), spine.top(50)
    labels[1:5, top : top + 5, 20:34] = 9
    labels[1:5, top + 8 : top + 14, 56:60] = POSTERIOR + 9
    centre = np.argwhere(labels == 9).mean(axis=0)
    wrong = Spine(labels, {**spine.centres, 9: centre, POSTERIOR + 9: centre})
    decoded = decode(decoder_input_of(wrong, ENCODING), ENCODING)
    piece = np.isin(labels, (9, POSTERIOR + 9))
    assert not decoded.labels[piece].any()
    np.testing.assert_array_equal(decoded.labels[~piece], labels[~piece])


def test_a_part_that_the_image_cuts_is_flagged_by_itself() -> None:
    spine = draw(5, posterior=True)
    last = spine.bottom(POSTERIOR + 1)
    decoded = decode(decoder_input_of(spine.rows(0, last), ENCODING), ENCODING)
    flags = {one.value: one.flags for one in decoded.label_results}
    assert "cut by the field of view" in flags[POSTERIOR + 1]
    assert "cut by the field of view" not in flags[1]


def test_votes_go_to_the_nearest_centre_within_reach() -> None:
    centres = [np.array([8.0, 100.0 - 30 * k, 50.0]) for k in range(3)]
    instances = [Instance(np.arange(5), centre, np.zeros(3), 1.0) for centre in centres]
    points = np.array([[100.0, 50], [84.0, 50], [71.0, 52], [40.0, 50], [120.0, 50], [70.0, 90]])
    voxels = np.arange(18).reshape(6, 3)
    votes = OffsetVotes(voxels, points, np.full((6, 3), 1 / 3), np.ones(6))
    parts = voxels_by_instance(votes, instances, (1, 2), 30.0)
    assert [part[:, 0].tolist() for part in parts] == [[0], [3, 6], [9]]
    assert voxels_by_instance(votes, [], (1, 2), 30.0) == []


def test_strays_are_told_by_the_whole_vertebra() -> None:
    """A small piece that touches the body stays, the same piece apart from all goes."""
    body = np.argwhere(np.ones((10, 10, 10)))
    joined, apart = np.array([[5, 5, 10], [5, 5, 11]]), np.array([[30, 30, 30], [30, 30, 31]])
    process = np.argwhere(np.ones((4, 5, 5))) + np.array([3, 3, 20])
    np.testing.assert_array_equal(without_strays(np.concatenate([joined, apart, process]), body)[2:], process)
    np.testing.assert_array_equal(without_strays(joined, body), joined)
    assert len(without_strays(apart, body)) == 0


@settings(max_examples=30, deadline=None)
@given(
    vertebrae=st.integers(3, 7),
    seed=st.integers(0, 1000),
    noise=st.floats(0, 4),
    first=st.integers(0, 30),
    sacrum=st.integers(6, 19),
)
def test_random_spines_label_body_and_process_alike(
    vertebrae: int, seed: int, noise: float, first: int, sacrum: int
) -> None:
    spine = draw(vertebrae, sacrum=sacrum, posterior=True).rows(first)
    decoded = decode(decoder_input_of(spine, ENCODING, seed, noise), ENCODING)
    bodies = values_of(decoded.labels, 0, 50)
    assert {value - POSTERIOR for value in values_of(decoded.labels, POSTERIOR, 200)} <= set(bodies)
    for level in bodies:
        told = decoded.labels == POSTERIOR + level
        if told.any():
            assert np.bincount(spine.labels[told]).argmax() == POSTERIOR + level
    posterior = (spine.labels > POSTERIOR) & (spine.labels < 200) & (decoded.labels > 0)
    assert (decoded.labels == spine.labels)[posterior].mean() > 0.97
