"""From what a network would say of a drawn spine to its labels, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autospine.inference.levels.decode import decode
from autospine.inference.levels.spine import without_fragments
from tests.spines import BELOW, DISTANCE_ROWS, Spine, decoder_input_of, draw, encoding_for

CUT = "cut by the field of view"


def vertebrae_of(labels: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(labels) if 0 < value < 100]


@pytest.mark.parametrize("offset_axes", [(1, 2), (0, 1, 2)])
@pytest.mark.parametrize("discs", [True, False])
@pytest.mark.parametrize("vertebrae", range(4, 10))
def test_an_ideal_spine_comes_back_voxel_by_voxel(vertebrae: int, discs: bool, offset_axes: tuple) -> None:
    encoding, spine = encoding_for(offset_axes=offset_axes), draw(vertebrae, discs)
    decoded = decode(decoder_input_of(spine, encoding), encoding)
    np.testing.assert_array_equal(decoded.labels, spine.labels)
    assert decoded.ambiguous == ""
    ordered = [int(v) for v in np.unique(spine.labels) if v not in (0, 100)]
    assert [label_result.value for label_result in decoded.label_results] == ordered
    assert all(label_result.flags == () for label_result in decoded.label_results)
    assert all(0.7 < label_result.confidence <= 1 for label_result in decoded.label_results)


@pytest.mark.parametrize("vertebrae", [5, 7])
def test_cropping_the_top_shifts_no_level(vertebrae: int) -> None:
    """Row by row down to where three vertebrae are left; the one that is cut is named."""
    encoding, spine = encoding_for(), draw(vertebrae)
    for first in range(0, spine.bottom(4), 3):
        cropped = spine.rows(first)
        decoded = decode(decoder_input_of(cropped, encoding), encoding)
        wrong = (decoded.labels != cropped.labels) & (decoded.labels > 0)
        assert not wrong.any(), f"{first} rows cut off"
        lost = set(vertebrae_of(cropped.labels)) - set(vertebrae_of(decoded.labels))
        assert lost <= {max(vertebrae_of(cropped.labels))}, f"{first} rows cut off"
        assert decoded.ambiguous == ""


def test_a_vertebra_cut_by_the_upper_edge_is_flagged() -> None:
    encoding, spine = encoding_for(), draw(5)
    decoded = decode(decoder_input_of(spine.rows(spine.top(5) + 3), encoding), encoding)
    flags = {label_result.value: label_result.flags for label_result in decoded.label_results}
    assert flags[5] == (CUT,)
    assert flags[4] == flags[3] == ()


@pytest.mark.parametrize("lowest", [2, 3])
def test_without_l5_and_sacrum_the_levels_are_ambiguous(lowest: int) -> None:
    """Nothing below tells which vertebra is the lowest: the level probabilities number it, and the result says so."""
    encoding, spine = encoding_for(), draw(6)
    cropped = spine.rows(0, spine.bottom(lowest) + 2)
    decoded = decode(decoder_input_of(cropped, encoding), encoding)
    assert decoded.ambiguous
    assert all("ambiguous" in label_result.flags for label_result in decoded.label_results)
    assert all(label_result.confidence <= 0.5 for label_result in decoded.label_results)
    assert vertebrae_of(decoded.labels) == list(range(lowest, 7))


def test_even_level_probabilities_with_a_margin_below_count_from_the_first_level() -> None:
    encoding, spine = encoding_for(), draw(5)
    decoded = decode(decoder_input_of(spine, encoding, doubt=1.0), encoding)
    np.testing.assert_array_equal(decoded.labels, spine.labels)


@pytest.mark.parametrize("missing", [2, 3, 4])
def test_a_missing_vertebra_is_skipped_and_its_neighbours_keep_their_levels(missing: int) -> None:
    encoding, spine = encoding_for(), draw(6).without(*range(200, 210))
    gap = spine.without(missing)
    decoded = decode(decoder_input_of(gap, encoding), encoding)
    np.testing.assert_array_equal(decoded.labels, gap.labels)
    flagged = [
        label_result.value for label_result in decoded.label_results if "neighbour missing" in label_result.flags
    ]
    assert flagged == [missing - 1, missing + 1]


def test_discs_around_a_missing_vertebra_keep_their_levels() -> None:
    encoding, gap = encoding_for(), draw(6).without(3)
    decoded = decode(decoder_input_of(gap, encoding), encoding)
    np.testing.assert_array_equal(decoded.labels, gap.labels)


@pytest.mark.parametrize("seed", range(4))
def test_noise_in_the_votes(seed: int) -> None:
    encoding, spine = encoding_for(), draw(6)
    decoded = decode(decoder_input_of(spine, encoding, seed, vote_noise_mm=5.0), encoding)
    found = decoded.labels[spine.labels > 0] == spine.labels[spine.labels > 0]
    assert found.mean() > 0.95
    assert vertebrae_of(decoded.labels) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seed", range(6))
def test_wrong_predictions_of_single_levels_are_outvoted(seed: int) -> None:
    encoding, spine = encoding_for(), draw(7)
    decoded = decode(decoder_input_of(spine, encoding, seed, doubt=0.5, wrong=0.35), encoding)
    np.testing.assert_array_equal(decoded.labels, spine.labels)


def test_every_prediction_off_by_one_does_not_move_what_the_image_shows() -> None:
    """All say one level too high, unsurely, yet the column leans as it does at L5: it stays, and the doubt is told."""
    encoding, spine = encoding_for(), draw(5, discs=False, lean=-0.14)
    evidence = decoder_input_of(spine, encoding, doubt=0.9)
    moved = replace(evidence, levels=np.roll(evidence.levels, 1, axis=1))
    decoded = decode(moved, encoding)
    np.testing.assert_array_equal(decoded.labels, spine.labels)
    assert decoded.ambiguous == "the lowest could also be level 2"


def test_two_pieces_of_a_disc_share_its_label() -> None:
    encoding, spine = encoding_for(), draw(5)
    labels = spine.labels.copy()
    columns = np.argwhere(labels == 203)[:, 2]
    centre = int(columns.mean())
    piece = labels == 203
    piece[:, :, : centre - 1] = False
    piece[:, :, centre + 2 :] = False
    labels[piece] = 0
    broken = Spine(labels, spine.centres)
    for centres in (broken, _own_centres(broken, 203, centre)):
        decoded = decode(decoder_input_of(centres, encoding), encoding)
        np.testing.assert_array_equal(decoded.labels, labels)
        assert sum(label_result.value == 203 for label_result in decoded.label_results) == 1


def _own_centres(spine: Spine, value: int, column: int) -> Spine:
    """The pieces vote for centres a little apart."""
    centre = spine.centres[value].copy()
    centre[2] = column + 3
    return Spine(spine.labels, {**spine.centres, value: centre})


def test_a_level_that_the_data_set_does_not_label_is_left_out() -> None:
    encoding, spine = encoding_for(4), draw(4)
    taller = draw(6)
    evidence = decoder_input_of(taller, encoding_for(6))
    known = replace(evidence, levels=evidence.levels[:, :4])
    decoded = decode(known, encoding)
    assert vertebrae_of(decoded.labels) == vertebrae_of(spine.labels)
    np.testing.assert_array_equal(decoded.labels, np.where(taller.labels % 100 > 4, 0, taller.labels))


def test_something_far_from_the_spine_is_no_vertebra() -> None:
    encoding, spine = encoding_for(), draw(5)
    rows = spine.labels.shape[1]
    labels = np.pad(spine.labels, [(0, 0), (0, 0), (0, 120)])
    labels[2:4, rows // 2 : rows // 2 + 8, 150:160] = 9
    spurious = Spine(labels, {**spine.centres, 9: np.argwhere(labels == 9).mean(axis=0)})
    decoded = decode(decoder_input_of(spurious, encoding), encoding)
    np.testing.assert_array_equal(decoded.labels, np.where(labels == 9, 0, labels))


def test_nothing_found_is_an_empty_answer() -> None:
    encoding = encoding_for()
    empty = Spine(np.zeros((3, 20, 20), np.uint8), {})
    decoded = decode(decoder_input_of(empty, encoding), encoding)
    assert not decoded.labels.any()
    assert decoded.label_results == ()
    canal = Spine(np.where(np.arange(20) > 15, 100, 0)[None, None].repeat(3, 0).repeat(20, 1), {})
    np.testing.assert_array_equal(decode(decoder_input_of(canal, encoding), encoding).labels, canal.labels)


def test_a_single_vertebra() -> None:
    encoding, spine = encoding_for(), draw(1)
    np.testing.assert_array_equal(decode(decoder_input_of(spine, encoding), encoding).labels, spine.labels)


def test_discs_alone_are_numbered_too() -> None:
    encoding, spine = encoding_for(), draw(5).without(1, 2, 3, 4, 5)
    np.testing.assert_array_equal(decode(decoder_input_of(spine, encoding), encoding).labels, spine.labels)


def test_a_plain_encoding_paints_classes() -> None:
    encoding = encoding_for().plain()
    spine = draw(5)
    decoded = decode(decoder_input_of(spine, encoding), encoding)
    np.testing.assert_array_equal(decoded.labels, spine.labels)
    assert decoded.label_results == ()


def test_fragments_go_and_larger_pieces_stay() -> None:
    body = np.argwhere(np.ones((5, 10, 10)))
    piece, crumb = body[:60] + np.array([20, 0, 0]), np.array([[40, 40, 40], [40, 40, 41]])
    kept = without_fragments(np.concatenate([body, piece, crumb]))
    assert len(kept) == len(body) + len(piece)


@settings(max_examples=60, deadline=None)
@example(3, 0, 0.0, 1.0, 0.0, [0.9375, 1.09375, *[1.0] * 7], 0, 33)  # the lowest of three is cut
@given(
    vertebrae=st.integers(3, 9),
    seed=st.integers(0, 1000),
    noise=st.floats(0, 4),
    doubt=st.floats(0.05, 1),
    wrong=st.floats(0, 1),
    stretch=st.lists(st.floats(0.9, 1.12), min_size=9, max_size=9),
    first=st.integers(0, 40),
    last=st.integers(0, BELOW + 20),
)
def test_levels_are_unique_and_consecutive_whatever_the_network_says(
    vertebrae: int,
    seed: int,
    noise: float,
    doubt: float,
    wrong: float,
    stretch: list[float],
    first: int,
    last: int,
) -> None:
    """Whatever the noise and the crop: one label per vertebra, in order, without a hole."""
    encoding = encoding_for()
    spine = draw(vertebrae, distances=[round(DISTANCE_ROWS * share) for share in stretch])
    cropped = spine.rows(first, spine.labels.shape[1] - last)
    evidence = decoder_input_of(cropped, encoding, seed, noise, doubt, wrong)
    decoded = decode(evidence, encoding)
    found = vertebrae_of(decoded.labels)
    if found:
        assert found == list(range(found[0], found[-1] + 1))
        rows = [np.argwhere(decoded.labels == value)[:, 1].mean() for value in found]
        assert rows == sorted(rows, reverse=True)
    for value in found:  # one drawn vertebra makes up nearly all of each label
        drawn = cropped.labels[decoded.labels == value]
        assert np.bincount(drawn).max() >= 0.8 * len(drawn)
    values = [label_result.value for label_result in decoded.label_results]
    assert values == sorted(set(values))
    assert set(values) == set(np.unique(decoded.labels)) - {0, 100}
