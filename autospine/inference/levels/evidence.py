"""Which level the lowest vertebra has, by what lies below it and how the column bends there.

Every function returns a likelihood `(K + 1,)` of the lowest instance's levels, 1 for what fits best: entry 0 stands
for the level below the first known one (a sacral segment taken for a vertebra), entry k for the k-th known level.
"""

from __future__ import annotations

import numpy as np

from autospine.inference.levels.instances import Instance

# In intervertebral distances, from the lowest centre to where the image ends below:
TRUNCATED_MARGIN = 0.75  # with less, nothing there tells its level
CLEAR_MARGIN = 1.25  # with so much, another vertebra would be seen in part,
WHOLE_MARGIN = 1.75  # and with so much it would be whole: a vertebra that was overlooked leaves the same room
OVERLOOKED, SEGMENT_TAKEN, HIDDEN = 0.3, 0.05, 0.01  # an overlooked vertebra, a sacral segment, one that is not there
# Degrees by which the step to the next vertebra leans forward, from S1, L5, L4, L3 and L2 or higher: means of 66 masks
# of four data sets, each data set counted alike.
LEAN = (45.0, 8.0, -3.0, -11.0, -13.0)
LEAN_SPREAD = 9.0  # standard deviation, patients and data sets together
LEAN_WEIGHT = 0.8  # the rest of the likelihood is the same for all levels: some spines bend otherwise
DISC_BELOW = 0.9  # in intervertebral distances: the next disc lies nearer, 0.4 to 0.7, the one after it farther
NO_FARTHER_DISC, FARTHER_DISC = 0.6, 0.3  # the other levels' likelihood beside a near, and beside a farther disc


def room_below(levels: int, margin: float) -> np.ndarray:
    """Return the likelihood by the image below in which no vertebra was found.

    Args:
        levels: Number of known ones.
        margin: From the lowest instance's centre to where the image ends below, in intervertebral distances.
    """
    seen = float(np.clip((margin - TRUNCATED_MARGIN) / (CLEAR_MARGIN - TRUNCATED_MARGIN), 0, 1))
    whole = float(np.clip((margin - CLEAR_MARGIN) / (WHOLE_MARGIN - CLEAR_MARGIN), 0, 1))
    missed = np.maximum(whole * OVERLOOKED ** np.arange(1, levels), HIDDEN)  # (K - 1,)
    return 1 - seen + seen * np.array([SEGMENT_TAKEN, 1.0, *missed])


def lean(spine: list[Instance], levels: int, first_level: int) -> np.ndarray:
    """Return the likelihood by the lean of the lowest step: the column bends forward at L5 and far forward at S1."""
    if len(spine) < 2 or first_level != 1:
        return np.ones(levels + 1)
    _, rows, columns = spine[1].centroid - spine[0].centroid
    angle = np.degrees(np.arctan2(-columns, -rows))
    usual = np.array(LEAN)[np.minimum(np.arange(levels + 1), len(LEAN) - 1)]
    return LEAN_WEIGHT * np.exp(-0.5 * ((angle - usual) / LEAN_SPREAD) ** 2) + 1 - LEAN_WEIGHT


def discs_below(levels: int, reach: float | None) -> np.ndarray:
    """Return the likelihood by the lowest disc.

    Args:
        levels: Number of known ones.
        reach: From the lowest vertebra's centre down to it, in intervertebral distances; None without a disc below.
    """
    if reach is None:
        return np.ones(levels + 1)
    near = reach <= DISC_BELOW
    likelihood = np.full(levels + 1, NO_FARTHER_DISC if near else FARTHER_DISC)
    likelihood[1 if near else min(2, levels)] = 1.0
    return likelihood


def reach_of_discs(discs: list[Instance], spine: list[Instance], intervertebral_distance_mm: float) -> float | None:
    """Return how far below the lowest vertebra the lowest disc lies, in intervertebral distances; None without one."""
    low = spine[0].centroid[1:]
    below = [disc.centroid[1:] for disc in discs if disc.centroid[1] > low[0]]
    if not below:
        return None
    lowest = max(below, key=lambda centre: centre[0])
    return float(np.linalg.norm(lowest - low)) / intervertebral_distance_mm
