from __future__ import annotations

import numpy as np
import pytest

from autospine.inference.levels.instances import OffsetVotes, find_centres, find_instances

DISTANCE_ROWS = 32.0


def votes_for(centres: np.ndarray, each: int, noise: float, seed: int = 0) -> OffsetVotes:
    """Voxels around given middles, mm along (rows, columns), that vote for them."""
    generator = np.random.default_rng(seed)
    target = np.repeat(centres, each, axis=0)
    voxels = np.round(target / 2 + generator.uniform(-5, 5, target.shape)).astype(int)
    voxels = np.concatenate([generator.integers(0, 5, (len(target), 1)), voxels], axis=1)
    places = target + generator.normal(0, 1, target.shape) * noise
    return OffsetVotes(voxels, places, np.full((len(target), 3), 1 / 3), np.ones(len(target)))


MIDDLES = np.array([[200.0, 60.0], [168.0, 64.0], [136.0, 66.0], [104.0, 66.0]])


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
def test_middles_are_found_where_the_votes_point(noise: float) -> None:
    votes = votes_for(MIDDLES, 400, noise)
    found = find_centres(votes.votes, votes.weights, DISTANCE_ROWS)
    found = found[np.argsort(-found[:, 0])]
    assert found.shape == MIDDLES.shape
    assert np.abs(found - MIDDLES).max() < 2.5


def test_nobody_votes() -> None:
    assert find_centres(np.zeros((0, 2)), np.zeros(0), DISTANCE_ROWS).shape == (0, 2)


def test_instances_come_from_the_lowest_up_with_their_own_voxels() -> None:
    votes = votes_for(MIDDLES, 300, 2.0)
    found = find_instances(votes, (4.0, 2.0, 2.0), DISTANCE_ROWS)
    assert [len(each.members) for each in found] == [300] * 4
    for number, each in enumerate(found):
        assert set(each.members // 300) == {number}
        expected = votes.voxels[each.members].mean(axis=0) * [4, 2, 2]
        np.testing.assert_allclose(each.centroid, expected, rtol=1e-6)
        np.testing.assert_allclose(each.level_log_probabilities, np.log(1 / 3), rtol=1e-6)


def test_a_few_stray_voxels_are_no_instance() -> None:
    centres = np.concatenate([np.repeat(MIDDLES, 300, axis=0), np.repeat([[60.0, 60.0]], 4, axis=0)])
    voxels = np.concatenate([np.zeros((len(centres), 1), int), (centres / 2).astype(int)], axis=1)
    votes = OffsetVotes(voxels, centres, np.full((len(centres), 3), 1 / 3), np.ones(len(centres)))
    assert len(find_instances(votes, (4.0, 2.0, 2.0), DISTANCE_ROWS)) == 4


def test_votes_into_nowhere_belong_to_nobody() -> None:
    votes = votes_for(MIDDLES, 300, 1.0)
    votes.votes[:5] += [0, 200.0]
    found = find_instances(votes, (4.0, 2.0, 2.0), DISTANCE_ROWS)
    assert len(found) == 4
    assert not np.isin(np.arange(5), np.concatenate([each.members for each in found])).any()


def test_voxels_weigh_by_their_confidence() -> None:
    votes = votes_for(MIDDLES[:1], 200, 0.0)
    votes.weights[:100] = 0.01
    (found,) = find_instances(votes, (4.0, 2.0, 2.0), DISTANCE_ROWS)
    trusted = votes.voxels[100:].mean(axis=0) * [4, 2, 2]
    np.testing.assert_allclose(found.centroid, trusted, atol=0.5)
