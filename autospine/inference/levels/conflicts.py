"""Evidence that speaks against a numbering, however probable it is: each rule gives its reason, empty if it is silent.

A numbering that is wrong by a level is most often one of a lowest vertebra that was overlooked, or of a piece of the
sacrum that was taken for it. Both leave traces at the lower end of the column.
"""

from __future__ import annotations

import numpy as np

from autospine.inference.levels.evidence import CLEAR_MARGIN, DISC_BELOW
from autospine.inference.levels.instances import Instance, OffsetVotes

NEIGHBOURS = 3  # vertebrae above the lowest that it is compared with
SMALL = 0.5  # of their median size; L5 has 0.57 at least in 66 masks of four data sets
UNSURE = 0.15  # lower mean probability of the class than theirs
CONTRADICTION = 0.7  # an instance contradicts if another level is twice as probable (in log-probability),
CONTRADICTING = 0.5  # and the numbering is doubtful if more than this share of the instances does
# Below the lowest centre, in intervertebral distances, where the next vertebra would be:
NEXT_ROWS, NEXT_COLUMNS = (0.55, 1.6), 0.8
REMAINDER = 0.2  # of a usual vertebra's size


def small_lowest(spine: list[Instance], cut: bool) -> str:
    """Compare the size of the lowest vertebra, unless the image cuts it, with those above."""
    sizes = [len(vertebra.members) for vertebra in spine[: NEIGHBOURS + 1]]
    if cut or len(sizes) < 3 or sizes[0] >= SMALL * np.median(sizes[1:]):
        return ""
    return "the lowest instance is much smaller than those above it"


def unsure_lowest(spine: list[Instance]) -> str:
    """Compare the class's probability in the lowest vertebra with those above."""
    weights = [vertebra.weight for vertebra in spine[: NEIGHBOURS + 1]]
    if len(weights) < 3 or weights[0] >= np.median(weights[1:]) - UNSURE:
        return ""
    return "the network is much less sure of the lowest instance than of those above it"


def disagreeing_levels(spine: list[Instance], level_indices: np.ndarray) -> str:
    """Count the instances that look clearly more like another level than like that which they were given.

    Args:
        spine: Lowest first.
        level_indices: `(N,)` index of each level among the known ones; outside of them where it is none of these.
    """
    known = len(spine[0].level_log_probabilities)
    looks = [
        (vertebra.level_log_probabilities, index)
        for vertebra, index in zip(spine, level_indices, strict=True)
        if 0 <= index < known
    ]
    contradicting = sum(float(scores.max() - scores[index]) > CONTRADICTION for scores, index in looks)
    if len(looks) < 3 or contradicting <= CONTRADICTING * len(looks):
        return ""
    return f"{contradicting} of {len(looks)} instances look like another level than their order gives them"


def remainder_below(
    votes: OffsetVotes, spine: list[Instance], spacing: tuple[float, float, float], intervertebral_distance_mm: float
) -> float:
    """Return how much of a vertebra's class lies where the next one below would be, in usual instances' sizes."""
    free = np.ones(len(votes.voxels), bool)
    free[np.concatenate([vertebra.members for vertebra in spine])] = False
    points = (votes.voxels[free] * np.asarray(spacing) - spine[0].centroid) / intervertebral_distance_mm  # (M, 3)
    low, high = NEXT_ROWS
    near = (points[:, 1] > low) & (points[:, 1] < high) & (np.abs(points[:, 2]) < NEXT_COLUMNS)
    return float(near.sum() / np.median([len(vertebra.members) for vertebra in spine]))


def vertebra_below(remainder: float) -> str:
    """Judge `remainder_below`."""
    return "" if remainder < REMAINDER else "below the lowest instance lies a part of what may be another vertebra"


def disc_below(reach: float | None) -> str:
    """Judge where the lowest disc lies, see `evidence.reach_of_discs`."""
    if reach is None or reach <= DISC_BELOW:
        return ""
    return "a disc lies a whole vertebra below the lowest instance"


def no_sacrum_below(expected: bool, margin: float) -> str:
    """Judge a sacrum that was not found.

    Args:
        expected: Whether the network knows one.
        margin: From the lowest centre to where the image ends below, in intervertebral distances.
    """
    if not expected or margin < CLEAR_MARGIN:
        return ""
    return "no sacrum was found below the lowest instance, where the image shows its place"
