"""Evidence that makes a probable numbering doubtful; exact cases of each rule, and real masks without their L5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.dataset.cases import load_dataset
from autospine.inference.levels.conflicts import (
    disagreeing_levels,
    disc_below,
    no_sacrum_below,
    remainder_below,
    small_lowest,
    unsure_lowest,
    vertebra_below,
)
from autospine.inference.levels.decode import DecoderInput, decode
from autospine.inference.levels.instances import Instance, OffsetVotes
from autospine.labels.encoding import Encoding, SemanticClass
from autospine.volumes import read_mask
from tests.spines import SACRUM, decoder_input_of, draw, encoding_for

LEVELS = 5
EVEN = np.log(np.full(LEVELS, 1 / LEVELS))


def instance(size: int = 300, weight: float = 0.9, looks: int | None = None, sure: float = 0.8) -> Instance:
    scores = EVEN
    if looks is not None:
        scores = np.full(LEVELS, np.log((1 - sure) / (LEVELS - 1)))
        scores[looks] = np.log(sure)
    return Instance(np.arange(size), np.zeros(3), scores, weight)


def test_a_lowest_instance_of_less_than_half_the_size() -> None:
    above = [instance()] * 3
    assert small_lowest([instance(149), *above], cut=False) == "the lowest instance is much smaller than those above it"
    assert small_lowest([instance(150), *above], cut=False) == ""
    assert small_lowest([instance(149), *above], cut=True) == ""  # the image ends there
    assert small_lowest([instance(149), instance()], cut=False) == ""


def test_a_lowest_instance_that_the_network_doubts() -> None:
    above = [instance()] * 3
    assert "much less sure of the lowest" in unsure_lowest([instance(weight=0.74), *above])
    assert unsure_lowest([instance(weight=0.76), *above]) == ""
    assert unsure_lowest([instance(weight=0.5), instance()]) == ""


def test_levels_that_contradict_their_order() -> None:
    right = np.arange(4)
    agreeing = [instance(looks=k) for k in range(4)]
    assert disagreeing_levels(agreeing, right) == ""
    assert disagreeing_levels([instance()] * 4, right) == ""  # a network that says nothing contradicts nothing
    mixed = [*agreeing[:2], instance(looks=3), instance(looks=4)]
    assert disagreeing_levels(mixed, right) == ""
    shifted = [agreeing[0], *(instance(looks=k + 1) for k in (1, 2, 3))]
    assert disagreeing_levels(shifted, right) == "3 of 4 instances look like another level than their order gives them"
    assert disagreeing_levels(shifted, np.array([-1, -1, 0, 1])) == ""  # two of a known level are too few


def test_a_remainder_counts_where_the_next_vertebra_would_be() -> None:
    centre = np.array([20.0, 100.0, 60.0])
    spine = [Instance(np.arange(10), centre, EVEN, 0.9)]

    def votes_at(row: float, column: float) -> OffsetVotes:
        rest = np.tile([20, row, column], (5, 1)).astype(int)
        voxels = np.concatenate([np.tile(centre.astype(int), (10, 1)), rest])
        return OffsetVotes(voxels, voxels[:, 1:].astype(float), np.ones((15, LEVELS)), np.ones(15))

    spacing = (1.0, 1.0, 1.0)
    assert remainder_below(votes_at(135, 60), spine, spacing, 35.0) == pytest.approx(0.5)
    for row, column in ((110, 60), (160, 60), (135, 100), (65, 60)):  # near, far, beside, above
        assert remainder_below(votes_at(row, column), spine, spacing, 35.0) == 0
    assert vertebra_below(0.19) == ""
    assert vertebra_below(0.2).startswith("below the lowest instance lies a part")


def test_discs_and_sacrum_that_are_not_where_they_should_be() -> None:
    assert disc_below(None) == disc_below(0.6) == ""
    assert disc_below(1.4) == "a disc lies a whole vertebra below the lowest instance"
    assert no_sacrum_below(expected=True, margin=2.0).startswith("no sacrum was found")
    assert no_sacrum_below(expected=False, margin=2.0) == no_sacrum_below(expected=True, margin=1.0) == ""


def test_a_missed_lowest_vertebra_is_flagged_by_its_disc() -> None:
    """Its disc is found a whole vertebra below; the levels are those that the network sees."""
    encoding, spine = encoding_for(), draw(6)
    missed = spine.without(1, 202)
    decoded = decode(decoder_input_of(missed, encoding, doubt=0.8), encoding)
    assert "a disc lies a whole vertebra below the lowest instance" in decoded.ambiguous
    assert all(result.confidence <= 0.5 and "ambiguous" in result.flags for result in decoded.label_results)
    assert decode(decoder_input_of(spine, encoding), encoding).ambiguous == ""


def test_a_known_sacrum_that_is_not_found_is_told() -> None:
    encoding = encoding_for(sacrum=True)
    assert decode(decoder_input_of(draw(6, sacrum=11), encoding), encoding).ambiguous == ""
    bare = draw(6)
    assert not (bare.labels == SACRUM).any()
    assert "no sacrum was found" in decode(decoder_input_of(bare, encoding, doubt=0.8), encoding).ambiguous
    assert decode(decoder_input_of(bare, encoding), encoding).ambiguous == ""  # the network is sure of the levels


@pytest.mark.slow
@pytest.mark.parametrize("source", ["t2", "ffe"])
def test_real_columns_without_their_l5_are_never_numbered_in_silence(real_data: Path, source: str) -> None:
    """By a network that does not tell the levels: only what lies below tells, and a missed L5 leaves as much room."""
    silent = []
    for case in load_dataset(real_data / source).annotated:
        mask = read_mask(case.mask)
        labels = mask.array[:, ::3, ::3]
        spacing = (mask.spacing[0], 3 * mask.spacing[1], 3 * mask.spacing[2])
        missed = decode(*unsure_network(np.where(labels > 1, labels, 0), spacing))
        silent += [] if missed.ambiguous else [case.id]
    assert silent == []


def unsure_network(labels: np.ndarray, spacing: tuple[float, float, float]) -> tuple[DecoderInput, Encoding]:
    """What a network that finds vertebrae, but not their levels, says of a mask."""
    values = tuple(int(value) for value in np.unique(labels) if value)
    levels = tuple(range(1, max(values) + 1))
    voxels = np.argwhere(labels > 0)
    numbers = labels[tuple(voxels.T)]
    centres = {value: np.argwhere(labels == value).mean(axis=0) for value in values}
    offsets = (np.array([centres[int(value)] for value in numbers]) - voxels) * spacing
    steps = np.diff([centres[value] for value in values], axis=0) * spacing
    encoding = Encoding(
        (SemanticClass("vertebra", levels, levels),), levels, (1, 2), float(np.median(np.linalg.norm(steps, axis=1)))
    )
    outputs = DecoderInput(
        semantic=(labels > 0).astype(np.uint8),
        voxels=voxels,
        offsets=offsets[:, 1:].astype(np.float32),
        levels=np.full((len(voxels), len(levels)), 1 / len(levels), np.float32),
        weights=np.full(len(voxels), 0.9, np.float32),
        spacing=spacing,
        visible_rows=(0, labels.shape[1] - 1),
    )
    return outputs, encoding
