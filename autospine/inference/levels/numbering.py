"""Numbers for instances by their order: unique, consecutive, discs between their vertebrae.

The network's opinion of each level is noisy, since vertebrae look alike; the order is not. The decode therefore
asks one question only: which level is the lowest instance? Every instance of the chain votes on the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.inference.levels.instances import Instance

GAP = 1.65  # a step longer than this share of the usual one skips a level
SHORTEST = 0.75  # of the pitch: nearer middles are those of a vertebra that the image's edge cuts, no measure of others
MIN_CONFIDENCE = 0.8  # below this confidence the numbering is called ambiguous
NOTHING_BELOW = 0.75  # of the pitch: with less image below the lowest middle, nothing there tells its level
ROOM = 1.25  # of the pitch: with so much image below and nothing found in it, the lowest instance is the first
PRIOR_STRENGTH = 0.9  # how surely
UNKNOWN_LEVEL = -1.0  # log-probability of a level that the network has never seen
TEMPERATURE = 2.0  # instances of one chain see the same image: they count as this many independent opinions


@dataclass(frozen=True)
class Numbering:
    """The answer for one chain.

    Attributes:
        levels: Level of each instance, lowest first.
        confidence: Of the levels, 0 to 1.
        ambiguous: Whether another numbering is nearly as good, or the image ends too close below to tell.
        reason: Why it is ambiguous, empty if it is not.
        skipped: Levels that should lie between the instances found but were not seen.
    """

    levels: tuple[int, ...]
    confidence: float
    ambiguous: bool
    reason: str
    skipped: tuple[int, ...]


def count_steps(centroids: np.ndarray, intervertebral_distance_mm: float) -> np.ndarray:
    """Levels from the lowest instance to each: 0, 1, 2, ...; a missing instance in between is counted.

    Args:
        centroids: `(N, 3)` mm along (slices, rows, columns), lowest first.
        intervertebral_distance_mm: Usual distance of neighbours in the data set.
    """
    distances = np.linalg.norm(np.diff(centroids[:, 1:], axis=0), axis=1)
    steps = np.ones(len(distances), dtype=np.int64)
    for k, distance in enumerate(distances):
        near = np.delete(distances, k)[max(k - 2, 0) : k + 2]
        usual = float(np.median(near)) if len(near) else distance
        usual = max(usual, SHORTEST * intervertebral_distance_mm)
        if distance > GAP * usual:
            steps[k] = max(round(distance / usual), 2)
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)


def start_probabilities(evidence: np.ndarray, weights: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Probability that the lowest instance has each level, by what the network says of every instance.

    Args:
        evidence: `(N, K)` mean log-probability of each known level (index 0 = level 1).
        weights: `(N,)` how much each instance counts.
        steps: `(N,)` levels above the lowest.

    Returns:
        `(K + 1,)`, sums to 1. Entry 0: the lowest instance lies below the first level (a sacral segment taken for a
        vertebra); entry k: it has the k-th known level. Levels above the highest known one count as that.
    """
    known = evidence.shape[1]
    starts = np.arange(-1, known)[:, None] + steps[None]  # (K + 1, N)
    picked = evidence[np.arange(len(steps))[None], np.clip(starts, 0, known - 1)]  # (K + 1, N)
    picked = np.where(starts < 0, UNKNOWN_LEVEL, picked)
    picked = np.where(starts >= known, picked + UNKNOWN_LEVEL, picked)  # unlikely, not impossible
    score = TEMPERATURE * (picked * weights).sum(axis=1) / max(float(weights.sum()), 1e-6)
    score = np.exp(score - score.max())
    return score / score.sum()


def start_prior(levels: int, room: float) -> np.ndarray:
    """What the empty image below says before the network is asked.

    Returns:
        `(levels + 1,)`, entries as in `start_probabilities`; sums to 1.

    Args:
        levels: Known ones.
        room: From the lowest instance's middle to where the image ends below, in pitches.
    """
    sure = float(np.clip((room - NOTHING_BELOW) / (ROOM - NOTHING_BELOW), 0, 1)) * PRIOR_STRENGTH
    prior = np.full(levels + 1, (1 - sure) / (levels + 1))
    prior[1] += sure
    return prior


def number(
    instances: list[Instance], first_level: int, margin_mm: float, intervertebral_distance_mm: float
) -> Numbering:
    """Numbers one chain.

    Args:
        instances: Lowest first, at least one.
        first_level: The level that index 0 of the evidence stands for.
        margin_mm: From the lowest instance's middle to where the image ends below.
        intervertebral_distance_mm: Usual distance of neighbours.
    """
    steps = count_steps(np.array([each.centroid for each in instances]), intervertebral_distance_mm)
    weights = np.array([each.weight for each in instances])
    evidence = np.array([each.level_log_probabilities for each in instances])
    prior = start_prior(evidence.shape[1], margin_mm / intervertebral_distance_mm)
    probabilities = start_probabilities(evidence, weights, steps) * prior
    probabilities = probabilities / probabilities.sum()
    start = int(probabilities.argmax()) - 1
    levels = steps + start + first_level
    confidence = float(probabilities[start + 1])
    fov_truncated = margin_mm < NOTHING_BELOW * intervertebral_distance_mm
    reason = ""
    if fov_truncated:
        reason = "the image ends right below the lowest instance, so nothing shows which level it is"
        confidence = min(confidence, 0.5)
    elif confidence < MIN_CONFIDENCE:
        other = int(np.argsort(probabilities)[-2]) - 1 + first_level
        reason = f"the lowest could also be level {other}"
    skipped = sorted(set(range(int(levels[0]), int(levels[-1]) + 1)) - {int(v) for v in levels})
    numbers = tuple(int(v) for v in levels)
    return Numbering(numbers, confidence, bool(reason), reason, tuple(skipped))


def between(below: np.ndarray, above: np.ndarray, centroid: np.ndarray) -> float:
    """Where a point lies on the way from one vertebra to the next: 0 at the lower, 1 at the upper."""
    way = above - below
    return float((centroid - below) @ way / max(float(way @ way), 1e-6))


def number_between(discs: list[Instance], vertebrae: list[Instance], levels: tuple[int, ...]) -> tuple[int, ...]:
    """Levels of discs from the vertebrae around them; a disc carries the level of the vertebra above it.

    Args:
        discs: Any order.
        vertebrae: Lowest first, at least one.
        levels: Of the vertebrae.

    Returns:
        One level per disc; two discs in one gap get the same level, being pieces of one disc. A disc above the topmost
        vertebra gets the next level up.
    """
    centroids = [each.centroid[1:] for each in vertebrae]
    rows = [middle[0] for middle in centroids]
    found = []
    for disc in discs:
        point = disc.centroid[1:]
        candidates = [k for k in range(1, len(rows)) if 0 <= between(centroids[k - 1], centroids[k], point) < 1]
        if candidates:
            nearest = min(candidates, key=lambda k: abs(rows[k - 1] + rows[k] - 2 * point[0]))
            steps = levels[nearest] - levels[nearest - 1]  # more than one where a vertebra was not seen
            share = between(centroids[nearest - 1], centroids[nearest], point)
            found.append(levels[nearest - 1] + 1 + int(share * steps))
        else:
            found.append(levels[0] if point[0] > rows[0] else levels[-1] + 1)
    return tuple(found)
