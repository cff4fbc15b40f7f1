"""The search for weights: every pair in steps of 0.05, and from there uphill where there are more than two members.

The score is the mean IoU: of each image over the classes that its reference or the answer shows, background left out,
then over the images. Each blend is judged by the answers that it gives, not by a blend of its members' scores.

Memory stays that of a block of voxels, whatever the number of images; only counts are kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from tqdm import tqdm

from autospine.ensemble.stored_image import StoredImage, joint_counts
from autospine.inference.aggregator import argmax_and_max

GRID_STEPS = 20  # that a weighting distributes: steps of 0.05
Weighting = tuple[int, ...]  # parts of each member; their sum is PARTS


@dataclass(frozen=True)
class BlendScores:
    """What one weighting reaches.

    Attributes:
        iou: `(images,)` mean IoU over classes; NaN where neither mask shows any.
        dice: `(images,)` mean Dice over the same classes.
    """

    iou: np.ndarray
    dice: np.ndarray

    @property
    def mean_iou(self) -> float:
        """Over the images."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        """Over the images."""
        return _mean(self.dice)


ScoresByWeighting = Mapping[Weighting, BlendScores]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def shares(weighting: Weighting) -> tuple[float, ...]:
    """Weights of one."""
    return tuple(parts / GRID_STEPS for parts in weighting)


def single_member(member: int, count: int) -> Weighting:
    """One of `count` members has all the weight."""
    return tuple(GRID_STEPS if k == member else 0 for k in range(count))


def pair_grid(first: int, second: int, count: int) -> list[Weighting]:
    """The 21 weightings of a pair, the second member alone first."""
    made = []
    for parts in range(GRID_STEPS + 1):
        of = {first: parts, second: GRID_STEPS - parts}
        made.append(tuple(of.get(k, 0) for k in range(count)))
    return made


def all_pairs(count: int) -> list[tuple[int, int]]:
    """Of `count` members."""
    return list(combinations(range(count), 2))


def measure(images: Sequence[StoredImage], weightings: Iterable[Weighting], what: str = "weights") -> ScoresByWeighting:
    """Scores of each weighting on every image.

    Args:
        images: With the probabilities of all members.
        weightings: Equal ones are measured once.
        what: For the progress bar.
    """
    wanted = list(dict.fromkeys(weightings))
    found = np.full((2, len(wanted), len(images)), np.nan)
    for k, image in enumerate(tqdm(images, desc=what, unit="image", disable=None, leave=False)):
        found[:, :, k] = mean_scores(count_image(image, wanted))
    return {weighting: BlendScores(*found[:, n]) for n, weighting in enumerate(wanted)}


def count_image(image: StoredImage, weightings: Sequence[Weighting]) -> np.ndarray:
    """`(weightings, classes, classes)` voxels of an image by answer and reference."""
    agreed = np.array(image.record.agreed, np.int64)
    tables = np.repeat(agreed[None], len(weightings), axis=0)
    for values, reference in image.blocks():
        tables += count_block(values, reference, weightings)
    return tables


def count_block(values: np.ndarray, reference: np.ndarray, weightings: Sequence[Weighting]) -> np.ndarray:
    """Counts of some voxels.

    Args:
        values: `(members, classes, voxels)` float32 soft-max.
        reference: `(voxels,)` classes.
        weightings: To be counted.

    Returns:
        `(weightings, classes, classes)` voxels by answer and reference.
    """
    classes = values.shape[1]
    answers = [argmax_and_max(each)[0] for each in values]
    tables = np.zeros((len(weightings), classes, classes), np.int64)
    for support, numbers in _by_support(weightings).items():
        first = answers[support[0]]
        alike = np.all([answers[member] == first for member in support], axis=0)
        same = joint_counts(first[alike], reference[alike], classes)
        parts, truth = values[list(support)][:, :, ~alike], reference[~alike]
        for number in numbers:
            answer = argmax_and_max(blend(parts, [weightings[number][member] for member in support]))[0]
            tables[number] = same + joint_counts(answer, truth, classes)
    return tables


def blend(values: np.ndarray, weighting: Sequence[int]) -> np.ndarray:
    """`(members, classes, ...)` probabilities as their weighted mean, `(classes, ...)` float32."""
    total = values[0] * np.float32(weighting[0] / GRID_STEPS)
    for each, parts in zip(values[1:], weighting[1:], strict=True):
        total += each * np.float32(parts / GRID_STEPS)
    return total


def _by_support(weightings: Sequence[Weighting]) -> dict[tuple[int, ...], list[int]]:
    """Places of the weightings by the members that have a weight."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number, weighting in enumerate(weightings):
        support = tuple(k for k, parts in enumerate(weighting) if parts)
        found.setdefault(support, []).append(number)
    return found


def mean_scores(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean IoU and mean Dice over the classes without the background.

    Args:
        tables: `(..., classes, classes)` voxels by answer and reference.

    Returns:
        Two arrays `(...)`. A class that neither shows is left out; NaN where all are.
    """
    both = np.diagonal(tables, axis1=-2, axis2=-1)[..., 1:].astype(float)
    sizes = (tables.sum(axis=-1) + tables.sum(axis=-2))[..., 1:].astype(float)
    sizes[sizes == 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of images without any class
        return np.nanmean(both / (sizes - both), axis=-1), np.nanmean(2 * both / sizes, axis=-1)


def best(measured: ScoresByWeighting) -> Weighting:
    """The highest mean IoU; of equals the one with the fewest members, then the first."""
    return min(measured, key=lambda each: (-_known(measured[each].mean_iou), sum(map(bool, each))))


def _known(score: float) -> float:
    return -1.0 if np.isnan(score) else score


def search_pairs(images: Sequence[StoredImage], count: int) -> ScoresByWeighting:
    """Every pair of `count` members with all of its 21 weightings; one member is measured alone."""
    wanted = [each for pair in all_pairs(count) for each in pair_grid(*pair, count)]
    return measure(images, wanted or [single_member(0, count)])


def hill_climb(images: Sequence[StoredImage], measured: ScoresByWeighting) -> ScoresByWeighting:
    """Goes uphill from the best weighting that was measured, 0.05 from one member to another at a time.

    Each round measures every such move and takes the best, until none is better: a weighting that no single move
    improves, and never worse than the best pair. The whole grid of four members has 1771 weightings, of six 53130.

    Returns:
        Everything that was measured.
    """
    known = dict(measured)
    while True:
        here = best(known)
        known |= measure(images, [each for each in neighbours(here) if each not in known])
        there = best({each: known[each] for each in (here, *neighbours(here))})
        if not known[there].mean_iou > known[here].mean_iou:
            return known


def neighbours(weighting: Weighting) -> list[Weighting]:
    """Weightings one move away."""
    found = []
    for giver, taker in ((g, t) for g in range(len(weighting)) for t in range(len(weighting)) if g != t):
        if weighting[giver]:
            moved = list(weighting)
            moved[giver] -= 1
            moved[taker] += 1
            found.append(tuple(moved))
    return found
