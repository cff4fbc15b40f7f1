"""How well stored probabilities foretell a reference: log loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

SMALLEST = 2.0**-24  # the smallest float16 above 0: stored probabilities below it have become 0


@dataclass(frozen=True)
class NLLSum:
    """-ln p(true class), summed over voxels."""

    total: float  # in nats
    voxels: int  # how many


def log_loss(sums: Iterable[NLLSum]) -> float:
    """Return the mean of -ln p(true class) over all voxels, in nats: 0 (sure and right) to 16.6 (sure and wrong).

    The cross-entropy of the soft-max. Probabilities are clipped at 2^-24 from below. No voxels: NaN.
    Over a whole image the background rules it, as it does accuracy.
    """
    sums = list(sums)
    voxels = sum(nll.voxels for nll in sums)
    return sum(nll.total for nll in sums) / voxels if voxels else nan


def negative_log_likelihood(
    probabilities: np.ndarray, reference: np.ndarray, channels: Mapping[int, int]
) -> dict[int, NLLSum]:
    """Sum -ln p(true class) by reference label, plane by plane, so that a memory map is never read as a whole.

    Args:
        probabilities: (classes, slices, rows, columns) soft-max, any floats; float16 as `autospine_predict
            --probabilities` writes it.
        reference: (slices, rows, columns) labels.
        channels: The class of each label. Voxels with other labels are left out.

    Returns:
        The sums of every label of `channels` that the reference shows.
    """
    labels = np.array(sorted(channels))
    classes = np.array([channels[label] for label in labels])
    totals, voxels = np.zeros(len(labels)), np.zeros(len(labels), np.int64)
    for number, plane in enumerate(reference):
        index = np.searchsorted(labels, plane).clip(max=len(labels) - 1)  # (rows, columns)
        known = labels[index] == plane
        index = index[known]  # (voxels,)
        rows, columns = np.nonzero(known)
        likelihood = np.asarray(probabilities[:, number])[classes[index], rows, columns].astype(np.float64)
        loss = -np.log(np.clip(likelihood, SMALLEST, 1))
        totals += np.bincount(index, weights=loss, minlength=len(labels))
        voxels += np.bincount(index, minlength=len(labels))
    sums = zip(labels.tolist(), totals.tolist(), voxels.tolist(), strict=True)
    return {label: NLLSum(total, count) for label, total, count in sums if count}
