"""Levels of instances by their order: unique, consecutive, discs between their vertebrae.

The network's probability of each level is noisy, since vertebrae look alike; the order is not. Decoding therefore
answers one question only: which level is the lowest instance? Every instance of the sequence votes on the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.inference.levels.evidence import TRUNCATED_MARGIN, room_below
from autospine.inference.levels.instances import Instance
from autospine.inference.levels.sacrum import Sacrum

GAP = 1.65  # a distance longer than this share of the usual one skips a level
# In intervertebral distances:
SHORTEST = 0.75  # nearer centres are those of a vertebra cut by the image's edge, no measure of the other distances
MIN_CONFIDENCE = 0.8  # below it the numbering is called ambiguous
CONFLICT = 0.1  # of the likelihood of the level that fits the sacrum best: below it the sacrum says something else
UNKNOWN_LEVEL = -1.0  # log-probability of a level that the network has never seen
TEMPERATURE = 0.5  # of the mean score: the instances of one sequence count as 1 / this many independent ones


@dataclass(frozen=True)
class LevelEvidence:
    """What tells the level of the lowest instance; entries as `start_scores` returns them."""

    scores: np.ndarray  # `(K + 1,)` mean log-probability by the network
    below: np.ndarray  # `(K + 1,)` likelihood of what the image shows below

    def probabilities(self, temperature: float = 1.0) -> np.ndarray:
        """Return the probability of each entry, `(K + 1,)`, with the network's votes at `TEMPERATURE` times this."""
        product = start_probabilities(self.scores, TEMPERATURE * temperature) * self.below
        return product / product.sum()

    @property
    def start(self) -> int:
        """Return the entry that is decided for, whatever the calibration."""
        return int(self.probabilities().argmax())


@dataclass(frozen=True)
class Numbering:
    """Levels of one vertebra sequence."""

    levels: tuple[int, ...]  # level of each instance, lowest first
    confidence: float  # of the levels, calibrated, 0 to 1
    evidence: LevelEvidence  # that they were decided by
    # Why it is ambiguous, since another numbering is nearly as good or the image ends too close below to tell; empty if
    # it is not.
    ambiguous: str
    skipped: tuple[int, ...]  # levels that should lie between the instances but were not found


def count_steps(centroids: np.ndarray, intervertebral_distance_mm: float) -> np.ndarray:
    """Count the levels from the lowest instance to each: 0, 1, 2, ...; a missing instance in between is counted.

    Args:
        centroids: `(N, 3)` mm along (slices, rows, columns), lowest first.
        intervertebral_distance_mm: Usual distance of neighbours in the data set.
    """
    distances = np.linalg.norm(np.diff(centroids[:, 1:], axis=0), axis=1)
    steps = np.ones(len(distances), dtype=np.int64)
    for k, distance in enumerate(distances):
        neighbours = np.delete(distances, k)[max(k - 2, 0) : k + 2]
        usual = float(np.median(neighbours)) if len(neighbours) else distance
        usual = max(usual, SHORTEST * intervertebral_distance_mm)
        if distance > GAP * usual:
            steps[k] = max(round(distance / usual), 2)
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)


def start_scores(log_probabilities: np.ndarray, weights: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return how well each level of the lowest instance fits the network's output for every instance.

    Args:
        log_probabilities: `(N, K)` mean log-probability of each known level (index 0 = level 1).
        weights: `(N,)` weight of each instance.
        steps: `(N,)` levels above the lowest.

    Returns:
        `(K + 1,)`, mean log-probability. Entry 0: the lowest instance lies below the first level (a sacral segment
        taken for a vertebra); entry k: it has the k-th known level. Levels above the highest known one count as that.
    """
    known = log_probabilities.shape[1]
    starts = np.arange(-1, known)[:, None] + steps[None]  # (K + 1, N)
    picked = log_probabilities[np.arange(len(steps))[None], np.clip(starts, 0, known - 1)]  # (K + 1, N)
    picked = np.where(starts < 0, UNKNOWN_LEVEL, picked)
    picked = np.where(starts >= known, picked + UNKNOWN_LEVEL, picked)  # unlikely, not impossible
    return (picked * weights).sum(axis=1) / max(float(weights.sum()), 1e-6)


def start_probabilities(scores: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """Return `start_scores` as probabilities, `(K + 1,)`, that sum to 1."""
    probabilities = np.exp((scores - scores.max()) / temperature)
    return probabilities / probabilities.sum()


def sacral_evidence(levels: int, first_level: int, sacrum: Sacrum) -> np.ndarray:
    """Return the likelihood of `start_probabilities`' entries by the sacrum below, `(levels + 1,)`."""
    return np.array([sacrum.likelihood(first_level - 1 + entry) for entry in range(levels + 1)])


def number(
    instances: list[Instance],
    first_level: int,
    margin_mm: float,
    intervertebral_distance_mm: float,
    sacrum: Sacrum | None = None,
    evidence: np.ndarray | None = None,
    temperature: float = 1.0,
) -> Numbering:
    """Number one vertebra sequence.

    The probabilities of the lowest instance's level by the network's output for every instance are multiplied by what
    the image shows below: the sacrum where there is one, else the room and further evidence.

    Args:
        instances: Lowest first, at least one.
        first_level: The level that index 0 of the level probabilities stands for.
        margin_mm: From the lowest instance's centre to where the image ends below.
        intervertebral_distance_mm: Usual distance of neighbours.
        sacrum: Below the lowest instance, if it was segmented.
        evidence: `(K + 1,)` further likelihood of the lowest instance's level, such as `evidence.lean`; the sacrum
            outweighs it.
        temperature: Of the network's votes, for the confidence alone; it makes no numbering less ambiguous.
    """
    steps = count_steps(np.array([instance.centroid for instance in instances]), intervertebral_distance_mm)
    weights = np.array([instance.weight for instance in instances])
    log_probabilities = np.array([instance.level_log_probabilities for instance in instances])
    known = log_probabilities.shape[1]
    if sacrum:
        below = sacral_evidence(known, first_level, sacrum)
    else:
        below = room_below(known, margin_mm / intervertebral_distance_mm)
        below = below if evidence is None else below * evidence
    level_evidence = LevelEvidence(start_scores(log_probabilities, weights, steps), below)
    probabilities, start = level_evidence.probabilities(), level_evidence.start
    levels = tuple(int(step) + start - 1 + first_level for step in steps)
    confidence = float(level_evidence.probabilities(temperature)[start])
    skipped = set(range(levels[0], levels[-1] + 1)) - set(levels)
    conflict = bool(below[start] < CONFLICT * below.max())
    ambiguous = ""
    if sacrum is None and margin_mm < TRUNCATED_MARGIN * intervertebral_distance_mm:
        ambiguous = "the image ends right below the lowest instance, so nothing shows which level it is"
        confidence = min(confidence, 0.5)
    elif min(confidence, probabilities[start]) < MIN_CONFIDENCE:
        other = int(np.argsort(probabilities)[-2]) - 1 + first_level
        ambiguous = f"the lowest could also be level {other}"
    elif sacrum is not None:
        ambiguous = _doubt_by_sacrum(sacrum, levels[0], conflict)
    if sacrum is not None and not conflict:
        skipped |= set(range(1, levels[0]))
    return Numbering(levels, confidence, level_evidence, ambiguous, tuple(sorted(skipped)))


def _doubt_by_sacrum(sacrum: Sacrum, lowest: int, conflict: bool) -> str:
    """Return why a sacrum makes the levels above it uncertain; empty if it does not."""
    if sacrum.above_an_instance:
        return "what looks like a vertebra lies below the sacrum"
    if conflict:
        return (
            f"the sacrum lies where it would below level {sacrum.missing + 1}, but the lowest looks like level {lowest}"
        )
    if sacrum.missing:
        what = "a vertebra that was" if sacrum.missing == 1 else f"{sacrum.missing} vertebrae that were"
        return f"between the lowest instance and the sacrum there is room for {what} not found"
    return ""


def between(below: np.ndarray, above: np.ndarray, centroid: np.ndarray) -> float:
    """Project a point `(3,)` mm onto the line from one vertebra to the next: 0 at the lower, 1 at the upper."""
    line = above - below
    return float((centroid - below) @ line / max(float(line @ line), 1e-6))


def number_between(discs: list[Instance], vertebrae: list[Instance], levels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the levels of discs by the vertebrae around them; a disc has the level of the vertebra above it.

    Two discs in one gap, being components of one disc, get the same level. A disc above the topmost vertebra gets the
    next level up.

    Args:
        discs: Any order.
        vertebrae: Lowest first, at least one.
        levels: Of the vertebrae.
    """
    centroids = [vertebra.centroid[1:] for vertebra in vertebrae]
    rows = [centroid[0] for centroid in centroids]
    disc_levels = []
    for disc in discs:
        point = disc.centroid[1:]
        gaps = [k for k in range(1, len(rows)) if 0 <= between(centroids[k - 1], centroids[k], point) < 1]
        if gaps:
            gap = min(gaps, key=lambda k: abs(rows[k - 1] + rows[k] - 2 * point[0]))
            steps = levels[gap] - levels[gap - 1]  # more than one where a vertebra was not found
            share = between(centroids[gap - 1], centroids[gap], point)
            disc_levels.append(levels[gap - 1] + 1 + int(share * steps))
        else:
            disc_levels.append(levels[0] if point[0] > rows[0] else levels[-1] + 1)
    return tuple(disc_levels)
