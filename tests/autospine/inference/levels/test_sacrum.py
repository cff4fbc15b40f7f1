"""The sacrum below the lowest vertebra decides which level that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.inference.levels.decode import Decoded, DecoderInput, decode
from autospine.inference.levels.instances import Instance
from autospine.inference.levels.numbering import number
from autospine.inference.levels.sacrum import ADJACENT, EACH, ELSEWHERE, Sacrum, find_sacrum, own_distance
from autospine.labels.encoding import SemanticClass
from autospine.volumes import read_mask
from tests.spines import BELOW, DISTANCE_MM, DISTANCE_ROWS, SACRUM, SPACING, Spine, decoder_input_of, draw, encoding_for

ENCODING = encoding_for(sacrum=True)
S1, WHOLE = 11, 19  # rows


def decoded(spine: Spine, **network: float) -> Decoded:
    return decode(decoder_input_of(spine, ENCODING, **network), ENCODING)  # type: ignore[arg-type]


def shifted(outputs: DecoderInput, by: int) -> DecoderInput:
    """A network that takes every vertebra for the one `by` levels above."""
    return replace(outputs, levels=np.roll(outputs.levels, by, axis=1))


def lower_levels(labels: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(labels) if 0 < value < SACRUM]


def instance(row: float, size: int = 300, column: float = 50.0) -> Instance:
    return Instance(np.arange(size), np.array([10.0, row, column]), np.full(9, np.log(1 / 9)), 0.9)


COLUMN = [instance(300.0 - DISTANCE_MM * k) for k in range(5)]


@pytest.mark.parametrize("rows", [S1, WHOLE])
@pytest.mark.parametrize("vertebrae", [1, 4, 7])
def test_an_ideal_spine_with_sacrum_comes_back_voxel_by_voxel(vertebrae: int, rows: int) -> None:
    spine = draw(vertebrae, sacrum=rows)
    result = decoded(spine)
    np.testing.assert_array_equal(result.labels, spine.labels)
    assert result.ambiguous == ""
    assert all(label_result.flags == () for label_result in result.label_results)


@pytest.mark.parametrize("by", [1, 2])
def test_a_sacrum_without_a_gap_outweighs_levels_that_are_a_little_surer_of_another(by: int) -> None:
    spine = draw(5, sacrum=S1)
    outputs = shifted(decoder_input_of(spine, ENCODING, doubt=0.6), by)
    np.testing.assert_array_equal(decode(outputs, ENCODING).labels, spine.labels)
    hidden = spine.without(SACRUM).rows(0, spine.bottom(1) + 8)  # 0.85 distances of room, which say little
    assert (
        lower_levels(decode(shifted(decoder_input_of(hidden, ENCODING, doubt=0.6), by), ENCODING).labels)[0] == 1 + by
    )


def test_sure_levels_against_the_sacrum_are_ambiguous() -> None:
    spine = draw(5, sacrum=S1)
    result = decode(shifted(decoder_input_of(spine, ENCODING, doubt=0.001), 1), ENCODING)
    assert result.ambiguous == "the sacrum lies where it would below level 1, but the lowest looks like level 2"
    assert all("ambiguous" in label_result.flags for label_result in result.label_results)


@pytest.mark.parametrize("doubt", [0.1, 1.0])
@pytest.mark.parametrize("rows", [S1, WHOLE])
def test_a_missing_l5_is_seen_by_the_gap_above_the_sacrum(rows: int, doubt: float) -> None:
    """Without the sacrum nothing settles which level is the lowest; with it, all keep their levels, discs too."""
    whole = draw(6, sacrum=rows)
    spine = whole.without(1)
    result = decoded(spine, doubt=doubt)
    np.testing.assert_array_equal(result.labels, spine.labels)
    assert (
        result.ambiguous == "between the lowest instance and the sacrum there is room for a vertebra that was not found"
    )
    flagged = [one.value for one in result.label_results if "neighbour missing" in one.flags]
    assert flagged == [2, 202]
    assert decoded(spine.without(SACRUM), doubt=1.0).ambiguous  # room alone settles nothing


def test_an_l5_that_is_mostly_taken_for_sacrum_is_never_silent() -> None:
    spine = draw(5, sacrum=WHOLE)
    outputs = decoder_input_of(spine, ENCODING)
    l5 = spine.labels[tuple(outputs.voxels.T)] == 1
    taken = l5 & (np.arange(len(l5)) % 10 >= 3)
    semantic = outputs.semantic.copy()
    semantic[tuple(outputs.voxels[taken].T)] = 1 + [kind.name for kind in ENCODING.classes].index("sacrum")
    rest = {name: getattr(outputs, name)[~taken] for name in ("voxels", "offsets", "levels", "weights")}
    result = decode(replace(outputs, semantic=semantic, **rest), ENCODING)
    assert lower_levels(result.labels)[0] in (1, 2)
    assert "below the lowest instance lies a part of what may be another vertebra" in result.ambiguous


def test_the_image_ends_in_the_sacrum() -> None:
    """Too little of the sacrum to count on it leaves the levels ambiguous, half of S1 settles them."""
    spine = draw(5, sacrum=S1)
    bottom = spine.bottom(SACRUM) - S1 + 1
    assert decoded(spine.rows(0, bottom + 1)).ambiguous
    half = decoded(spine.rows(0, bottom + 5))
    assert half.ambiguous == ""
    np.testing.assert_array_equal(half.labels, spine.rows(0, bottom + 5).labels)


def test_a_piece_of_the_sacrum_is_no_vertebra() -> None:
    """The network takes the upper part of S1 for a vertebra that is large enough to be one."""
    spine = draw(5, sacrum=WHOLE)
    labels = spine.labels.copy()
    top = spine.top(SACRUM)
    labels[1:5, top : top + 5, 20:34] = 9
    wrong = Spine(labels, {**spine.centres, 9: np.argwhere(labels == 9).mean(axis=0)})
    outputs = decoder_input_of(wrong, ENCODING, doubt=1.0)
    result = decode(outputs, ENCODING)
    assert lower_levels(result.labels) == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(result.labels[labels != 9], labels[labels != 9])
    assert not result.labels[labels == 9].any()


def test_what_lies_below_the_sacrum_is_no_vertebra_and_makes_the_levels_ambiguous() -> None:
    spine, top = draw(5, sacrum=S1), 0
    labels = np.pad(spine.labels, [(0, 0), (0, 12), (0, 0)])
    top = spine.bottom(SACRUM) + 4
    labels[1:5, top : top + 9, 22:34] = 9
    wrong = Spine(labels, {**spine.centres, 9: np.argwhere(labels == 9).mean(axis=0)})
    result = decode(decoder_input_of(wrong, ENCODING), ENCODING)
    np.testing.assert_array_equal(result.labels, np.where(labels == 9, 0, labels))
    assert result.ambiguous == "what looks like a vertebra lies below the sacrum"


def test_a_rudimentary_disc_in_the_sacrum_has_no_level() -> None:
    spine = draw(5, sacrum=WHOLE)
    labels = spine.labels.copy()
    row = spine.top(SACRUM) + 12
    labels[1:5, row : row + 2, 20:33] = 201
    result = decode(decoder_input_of(Spine(labels, spine.centres), ENCODING), ENCODING)
    own = decode(decoder_input_of(_with_own_centre(Spine(labels, spine.centres), row), ENCODING), ENCODING)
    assert result.ambiguous == own.ambiguous == ""
    assert not (own.labels[1:5, row : row + 2] == 201).any()


def _with_own_centre(spine: Spine, row: int) -> Spine:
    """The disc in the sacrum is an instance of its own: label 209 votes for its own centre."""
    labels = spine.labels.copy()
    part = labels[:, row : row + 2]
    part[part == 201] = 209
    return Spine(labels, {**spine.centres, 209: np.argwhere(labels == 209).mean(axis=0)})


def test_a_speck_or_what_lies_far_away_is_no_sacrum() -> None:
    labels = np.zeros((6, 260, 60), np.uint8)
    labels[2, 155:158, 20:25] = SACRUM
    assert find_sacrum(labels, ENCODING, COLUMN, SPACING, DISTANCE_MM) == (COLUMN, None)  # 15 voxels
    labels[:] = 0
    labels[1:5, 210:230, 20:34] = SACRUM  # 120 mm below the lowest centre
    assert find_sacrum(labels, ENCODING, COLUMN, SPACING, DISTANCE_MM) == (COLUMN, None)
    labels[:] = 0
    labels[1:5, 100:120, 20:34] = SACRUM  # above it
    assert find_sacrum(labels, ENCODING, COLUMN[:2], SPACING, DISTANCE_MM) == (COLUMN[:2], None)
    assert find_sacrum(labels, encoding_for(), COLUMN, SPACING, DISTANCE_MM) == (COLUMN, None)


def test_the_reach_is_that_of_the_nearest_part_in_the_middle_slices() -> None:
    labels = np.zeros((12, 260, 60), np.uint8)
    labels[2:4, 161:185, 20:31] = SACRUM  # its top 22 mm below the lowest centre (300 mm, 50 mm)
    labels[4:12, 175:185, 20:31] = SACRUM
    labels[8:12, 145:175, 20:31] = SACRUM  # processes beside, higher up
    _, sacrum = find_sacrum(labels, ENCODING, COLUMN, SPACING, DISTANCE_MM)
    assert sacrum is not None
    assert sacrum.reach == pytest.approx(22.5 / DISTANCE_MM, abs=0.1)
    assert sacrum.missing == 0


def test_the_distance_is_the_spines_own_within_bounds() -> None:
    assert own_distance(COLUMN[:1], 30.0) == 30.0
    assert own_distance(COLUMN, 30.0) == DISTANCE_MM
    assert own_distance(COLUMN, 60.0) == 45.0
    gap = [COLUMN[0], COLUMN[2], COLUMN[3]]
    assert own_distance(gap, 30.0) == DISTANCE_MM  # a missing vertebra doubles one of the two


@pytest.mark.parametrize(("missing", "level"), [(0, 1), (1, 2), (2, 3)])
def test_the_likelihood_is_greatest_where_the_gap_fits(missing: int, level: int) -> None:
    sacrum = Sacrum(np.zeros(3), ADJACENT + missing * EACH)
    likelihoods = [sacrum.likelihood(k) for k in range(6)]
    assert int(np.argmax(likelihoods)) == level
    assert likelihoods[level] == 1
    assert sacrum.missing == missing
    assert likelihoods[level + 1] == ELSEWHERE


def test_a_gap_halfway_between_two_counts_is_left_to_the_levels() -> None:
    halfway = Sacrum(np.array([10.0, 300 + 1.15 * DISTANCE_MM, 50.0]), ADJACENT + EACH / 2)
    found = number(COLUMN, 1, 90.0, DISTANCE_MM, halfway)
    assert found.ambiguous == "the lowest could also be level 2"
    for level in (1, 2):
        sure = np.full((5, 9), 0.01)
        sure[np.arange(5), np.arange(5) + level - 1] = 0.92
        seen = [replace(one, level_log_probabilities=np.log(p)) for one, p in zip(COLUMN, sure, strict=True)]
        assert number(seen, 1, 90.0, DISTANCE_MM, halfway).levels[0] == level


def test_the_sacrum_says_nothing_where_the_vertebra_above_it_is_not_labelled() -> None:
    """A data set of L4 and above: room for a vertebra above the sacrum is no surprise."""
    spine = draw(6, sacrum=S1).without(1, 201)
    lumbar = tuple(SemanticClass(kind.name, kind.values[1:], kind.levels[1:]) for kind in ENCODING.classes[:2])
    encoding = replace(ENCODING, classes=(*lumbar, *ENCODING.classes[2:]), levels=ENCODING.levels[1:])
    result = decode(decoder_input_of(spine, encoding), encoding)
    np.testing.assert_array_equal(result.labels, spine.labels)
    assert result.ambiguous == ""


@pytest.mark.parametrize("missing", [False, True])
def test_real_spines_above_s1_are_numbered_from_it(real_data: Path, missing: bool) -> None:
    """Masks of four scans whose lowest label is S1; the levels themselves say nothing."""
    for path in sorted((real_data / "mixed" / "masks").iterdir()):
        volume = read_mask(path)
        mask = volume.array[:, ::2, ::2]
        labels = np.where(mask == 1, SACRUM, np.maximum(mask.astype(np.int16) - 1, 0)).astype(np.uint8)
        labels[labels == int(missing)] = 0  # L5
        spacing = (volume.spacing[0], 2 * volume.spacing[1], 2 * volume.spacing[2])
        centres = {int(v): np.argwhere(labels == v).mean(axis=0) for v in np.unique(labels) if v}
        encoding = replace(ENCODING, intervertebral_distance_mm=36.0)
        drawn = decoder_input_of(Spine(labels, centres), encoding, doubt=1.0)
        offsets = drawn.offsets * (np.array(spacing) / SPACING)[list(encoding.offset_axes)]
        result = decode(replace(drawn, offsets=offsets.astype(np.float32), spacing=spacing), encoding)
        np.testing.assert_array_equal(lower_levels(result.labels), lower_levels(labels), path.name)
        assert ("room for a vertebra" in result.ambiguous) == missing, path.name


@settings(max_examples=40, deadline=None)
@given(
    vertebrae=st.integers(3, 8),
    seed=st.integers(0, 1000),
    noise=st.floats(0, 4),
    wrong=st.floats(0, 0.6),
    stretch=st.lists(st.floats(0.92, 1.1), min_size=8, max_size=8),
    first=st.integers(0, 30),
    rows=st.integers(6, WHOLE),
)
def test_random_spines_above_a_sacrum_are_never_silently_wrong(
    vertebrae: int, seed: int, noise: float, wrong: float, stretch: list[float], first: int, rows: int
) -> None:
    distances = [round(DISTANCE_ROWS * share) for share in stretch]
    spine = draw(vertebrae, distances=distances, sacrum=rows).rows(first)
    result = decode(decoder_input_of(spine, ENCODING, seed, noise, 0.9, wrong), ENCODING)
    assert result.ambiguous == ""
    wrongly = (result.labels != spine.labels) & (result.labels > 0) & (spine.labels > 0)
    assert wrongly.sum() < 0.05 * (spine.labels > 0).sum()  # votes between two centres, no level
    assert lower_levels(result.labels)[0] == 1
    assert rows < BELOW
