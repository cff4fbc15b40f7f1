"""Normalise intensities of one case: clip at percentiles, then scale to mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLE = 400_000  # voxels are enough for percentiles


@dataclass(frozen=True)
class Normalisation:
    """Percentiles of a case at which its intensities are clipped."""

    lower_percentile: float = 0.5
    upper_percentile: float = 99.5

    def __post_init__(self) -> None:
        if not 0 <= self.lower_percentile < self.upper_percentile <= 100:
            raise ValueError(f"percentiles {self.lower_percentile:g} and {self.upper_percentile:g}")


def normalise(image: np.ndarray, rule: Normalisation) -> np.ndarray:
    """Normalise and return one channel, `(slices, rows, columns)` float32, in place; a constant one becomes zeros."""
    flat = image.reshape(-1)
    sample = flat[:: max(len(flat) // SAMPLE, 1)]
    low, high = np.percentile(sample, (rule.lower_percentile, rule.upper_percentile))
    if high <= low:  # else rounding errors would be blown up
        image[:] = 0
        return image
    clipped = np.clip(sample, low, high)
    mean, deviation = float(clipped.mean(dtype=np.float64)), float(clipped.std(dtype=np.float64))
    np.clip(image, low, high, out=image)
    image -= mean
    image /= max(deviation, 1e-6)
    return image


def visible_rows(image: np.ndarray) -> tuple[int, int]:
    """Return the first and last row of `(slices, rows, columns)` that hold image rather than constant padding."""
    middle = image[image.shape[0] // 4 : max(3 * image.shape[0] // 4, image.shape[0] // 4 + 1)]
    alive = np.flatnonzero(np.ptp(middle, axis=(0, 2)) > 1e-6)
    return (int(alive[0]), int(alive[-1])) if len(alive) else (0, image.shape[1] - 1)
