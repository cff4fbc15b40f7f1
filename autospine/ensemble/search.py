"""Search for ensemble weights: every pair on a grid of steps of 0.05, then hill climbing with more than two members.

The score is the mean IoU: of each image over the classes that its reference or the prediction shows, background left
out, then over the images. Each blend is scored by its own prediction, not by a blend of its members' scores.

Memory stays that of a block of voxels, whatever the number of images; only counts are kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from tqdm import tqdm

from autospine.ensemble.stored_image import StoredImage, joint_counts
from autospine.inference.aggregator import argmax_and_max

GRID_STEPS = 20  # that weights are divided into: each is a multiple of 0.05
Weighting = tuple[int, ...]  # grid steps of each member; their sum is GRID_STEPS


@dataclass(frozen=True)
class BlendScores:
    """Scores of one weighting."""

    iou: np.ndarray  # `(images,)` mean IoU over classes; NaN where neither mask shows any
    dice: np.ndarray  # `(images,)` mean Dice over the same classes

    @property
    def mean_iou(self) -> float:
        """Return the mean over the images."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        """Return the mean over the images."""
        return _mean(self.dice)


ScoresByWeighting = Mapping[Weighting, BlendScores]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def shares(weighting: Weighting) -> tuple[float, ...]:
    """Return the weights as shares of one."""
    return tuple(steps / GRID_STEPS for steps in weighting)


def single_member(member: int, count: int) -> Weighting:
    """Return the weighting that gives one of `count` members all the weight."""
    return tuple(GRID_STEPS if k == member else 0 for k in range(count))


def pair_grid(first: int, second: int, count: int) -> list[Weighting]:
    """Return the 21 weightings of a pair, the second member alone first."""
    grid = []
    for steps in range(GRID_STEPS + 1):
        of_member = {first: steps, second: GRID_STEPS - steps}
        grid.append(tuple(of_member.get(k, 0) for k in range(count)))
    return grid


def all_pairs(count: int) -> list[tuple[int, int]]:
    """Return the pairs of `count` members."""
    return list(combinations(range(count), 2))


def score_blends(images: Sequence[StoredImage], weightings: Iterable[Weighting]) -> dict[Weighting, BlendScores]:
    """Score each weighting on every image."""
    unique = list(dict.fromkeys(weightings))
    scores = np.full((2, len(unique), len(images)), np.nan)
    for k, image in enumerate(tqdm(images, desc="weights", unit="image", disable=None, leave=False)):
        scores[:, :, k] = mean_scores(count_image(image, unique))
    return {weighting: BlendScores(*scores[:, n]) for n, weighting in enumerate(unique)}


def count_image(image: StoredImage, weightings: Sequence[Weighting]) -> np.ndarray:
    """Count the voxels of an image by prediction and reference, `(weightings, classes, classes)`."""
    agreed = np.array(image.record.agreed, np.int64)
    counts = np.repeat(agreed[None], len(weightings), axis=0)
    for probabilities, reference in image.blocks():
        counts += count_block(probabilities, reference, weightings)
    return counts


def count_block(probabilities: np.ndarray, reference: np.ndarray, weightings: Sequence[Weighting]) -> np.ndarray:
    """Count `(members, classes, voxels)` soft-max by prediction and reference, `(weightings, classes, classes)`."""
    classes = probabilities.shape[1]
    predictions = [argmax_and_max(member)[0] for member in probabilities]
    counts = np.zeros((len(weightings), classes, classes), np.int64)
    for support, numbers in _by_support(weightings).items():
        first = predictions[support[0]]
        alike = np.all([predictions[member] == first for member in support], axis=0)
        same = joint_counts(first[alike], reference[alike], classes)
        disputed, truth = probabilities[list(support)][:, :, ~alike], reference[~alike]
        for number in numbers:
            blended = blend(disputed, [weightings[number][member] for member in support])
            counts[number] = same + joint_counts(argmax_and_max(blended)[0], truth, classes)
    return counts


def blend(probabilities: np.ndarray, weighting: Sequence[int]) -> np.ndarray:
    """Return the weighted mean of `(members, classes, ...)` probabilities, `(classes, ...)` float32."""
    total = probabilities[0] * np.float32(weighting[0] / GRID_STEPS)
    for member, steps in zip(probabilities[1:], weighting[1:], strict=True):
        total += member * np.float32(steps / GRID_STEPS)
    return total


def _by_support(weightings: Sequence[Weighting]) -> dict[tuple[int, ...], list[int]]:
    """Group the indices of weightings by the members that have a weight."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, weighting in enumerate(weightings):
        groups.setdefault(tuple(k for k, steps in enumerate(weighting) if steps), []).append(number)
    return groups


def mean_scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean IoU and mean Dice without the background, `(...)` each, of voxels `(..., classes, classes)`.

    A class that neither side shows is left out; NaN where all are.
    """
    both = np.diagonal(counts, axis1=-2, axis2=-1)[..., 1:].astype(float)
    sizes = (counts.sum(axis=-1) + counts.sum(axis=-2))[..., 1:].astype(float)
    sizes[sizes == 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of images without any class
        return np.nanmean(both / (sizes - both), axis=-1), np.nanmean(2 * both / sizes, axis=-1)


def best_weighting(scores: ScoresByWeighting) -> Weighting:
    """Return the weighting of the highest mean IoU; of equals the one with the fewest members, then the first."""

    def rank(weighting: Weighting) -> tuple[float, int]:
        iou = scores[weighting].mean_iou
        return (1.0 if np.isnan(iou) else -iou), sum(map(bool, weighting))

    return min(scores, key=rank)


def search_pairs(images: Sequence[StoredImage], count: int) -> dict[Weighting, BlendScores]:
    """Score every pair of `count` members with all of its 21 weightings; one member is scored alone."""
    weightings = [weighting for pair in all_pairs(count) for weighting in pair_grid(*pair, count)]
    return score_blends(images, weightings or [single_member(0, count)])


def hill_climb(images: Sequence[StoredImage], scores: ScoresByWeighting) -> dict[Weighting, BlendScores]:
    """Climb from the best scored weighting, 0.05 from one member to another at a time; return all scores.

    Each round scores every such move and takes the best, until none is better: a weighting that no single move
    improves, and never worse than the best pair. The whole grid of four members has 1771 weightings, of six 53130.
    """
    known = dict(scores)
    while True:
        current = best_weighting(known)
        around = neighbours(current)
        known |= score_blends(images, [weighting for weighting in around if weighting not in known])
        best = best_weighting({weighting: known[weighting] for weighting in (current, *around)})
        if not known[best].mean_iou > known[current].mean_iou:
            return known


def neighbours(weighting: Weighting) -> list[Weighting]:
    """Return the weightings that differ by one grid step moved from one member to another."""
    adjacent = []
    for giver, taker in permutations(range(len(weighting)), 2):
        if weighting[giver]:
            adjacent.append(tuple(steps - (k == giver) + (k == taker) for k, steps in enumerate(weighting)))
    return adjacent
