"""The spine among the candidates: the best chain of instances that follow one another at a spine's distances.

Whatever else looks like a vertebra (an organ's edge, noise in the air) lies beside that chain and is left out.
"""

from __future__ import annotations

import numpy as np

from autospine.inference.levels.instances import Instance

NEAREST, FARTHEST = 0.45, 3.6  # of the pitch: two neighbours, or two with vertebrae missing in between
STEEP = 0.5  # share of a step that goes along the rows
MISSING = 0.5  # what a pitch without an instance costs, in usual instances
BESIDE = 0.9  # of the pitch: a disc farther from the vertebrae's line is none


def best_chain(instances: list[Instance], intervertebral_distance_mm: float) -> list[Instance]:
    """The heaviest chain, by dynamic programming.

    Args:
        instances: Lowest first.
        intervertebral_distance_mm: Usual distance of neighbours.

    Returns:
        Those of them that form the spine, lowest first.
    """
    if len(instances) < 2:
        return instances
    sizes = np.array([len(each.members) * each.weight for each in instances])
    worth = np.minimum(sizes / np.median(sizes), 1.0)
    best, before = worth.copy(), [-1] * len(instances)
    for upper in range(len(instances)):
        for lower in range(upper):
            cost = step_cost(instances[lower].centroid, instances[upper].centroid, intervertebral_distance_mm)
            if cost is not None and best[lower] + worth[upper] - cost > best[upper]:
                best[upper], before[upper] = best[lower] + worth[upper] - cost, lower
    chain, k = [], int(best.argmax())
    while k >= 0:
        chain.append(instances[k])
        k = before[k]
    return chain[::-1]


def step_cost(lower: np.ndarray, upper: np.ndarray, intervertebral_distance_mm: float) -> float | None:
    """Cost of going from one middle to the next, None where no spine goes.

    Args:
        lower: mm along (slices, rows, columns).
        upper: The same, of the one above.
        intervertebral_distance_mm: Usual distance.
    """
    way = lower - upper
    distance = float(np.linalg.norm(way))
    if (
        not NEAREST * intervertebral_distance_mm <= distance <= FARTHEST * intervertebral_distance_mm
        or way[1] < STEEP * distance
    ):
        return None
    pitches = distance / intervertebral_distance_mm
    return MISSING * max(pitches - 1.4, 0.0) + 0.3 * max(0.7 - pitches, 0.0)


def spine_line(spine: list[Instance]) -> np.ndarray:
    """Points `(M, 3)` mm along the vertebrae's middles and one pitch beyond either end."""
    line = np.array([each.centroid for each in spine])  # (N, 3)
    if len(line) > 1:
        line = np.concatenate([[2 * line[0] - line[1]], line, [2 * line[-1] - line[-2]]])
    steps = np.linspace(0, len(line) - 1, 8 * len(line))
    return np.stack([np.interp(steps, np.arange(len(line)), column) for column in line.T], axis=1)


def beside_the_spine(instance: Instance, spine: list[Instance], intervertebral_distance_mm: float) -> bool:
    """Whether an instance of another chain (a disc) lies too far from the spine's line to belong to it."""
    away = np.linalg.norm(spine_line(spine) - instance.centroid, axis=1)
    return float(away.min()) > BESIDE * intervertebral_distance_mm
