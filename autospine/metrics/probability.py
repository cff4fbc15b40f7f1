"""How well stored probabilities foretell a reference: log loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SMALLEST = 2.0**-24  # the smallest float16 above 0: stored probabilities below it have become 0


@dataclass(frozen=True)
class NLLSum:
    """-ln p(true class), summed over voxels.

    Attributes:
        total: In nats.
        voxels: How many.
    """

    total: float
    voxels: int


def log_loss(parts: Iterable[NLLSum]) -> float:
    """Mean of -ln p(true class) over all voxels of `parts`, in nats: 0 (sure and right) to 16.6 (sure and wrong).

    The cross-entropy of the soft-max. Probabilities are clipped at 2^-24 from below. No voxels: NaN.
    Over a whole image the background rules it, as it does accuracy.
    """
    parts = list(parts)
    voxels = sum(part.voxels for part in parts)
    return sum(part.total for part in parts) / voxels if voxels else float("nan")


def surprises(probabilities: np.ndarray, reference: np.ndarray, channels: Mapping[int, int]) -> dict[int, NLLSum]:
    """Sums up -ln p(true class) by reference label, plane by plane, so that a memory map is never read as a whole.

    Args:
        probabilities: (classes, slices, rows, columns) soft-max, any floats; float16 as `autospine_predict
            --probabilities` writes it.
        reference: (slices, rows, columns) integers.
        channels: The class of each integer. Voxels with other integers are left out.

    Returns:
        The sums of every integer of `channels` that the reference shows.
    """
    import numpy as np

    values = sorted(channels)
    places = np.array([channels[value] for value in values])
    totals, voxels = np.zeros(len(values)), np.zeros(len(values), np.int64)
    for number, plane in enumerate(reference):
        index = np.searchsorted(values, plane).clip(max=len(values) - 1)  # (rows, columns)
        known = np.array(values)[index] == plane
        index = index[known]  # (voxels,)
        rows, columns = np.nonzero(known)
        sure = np.asarray(probabilities[:, number])[places[index], rows, columns].astype(np.float64)
        surprise = -np.log(np.clip(sure, SMALLEST, 1))
        totals += np.bincount(index, weights=surprise, minlength=len(values))
        voxels += np.bincount(index, minlength=len(values))
    return {
        value: NLLSum(float(total), int(count))
        for value, total, count in zip(values, totals, voxels, strict=True)
        if count
    }
