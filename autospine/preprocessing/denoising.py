"""Steps that take noise out of each slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autospine.preprocessing.intensity import IntensityStep
from autospine.preprocessing.shearlets import denoise_shearlets
from autospine.preprocessing.wavelets import denoise_wavelets, noise_deviation

BLOCK = 2**20  # pixels at once, so that a long series takes no more memory than a short one


def _in_blocks(slices: np.ndarray, denoise: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Denoises `(channels, slices, height, width)` by a function of slices and the deviations of their noise."""
    flat = slices.reshape(-1, *slices.shape[2:])  # (channels x slices, height, width)
    result = np.empty_like(flat)
    step = max(BLOCK // flat[0].size, 1)
    for first in range(0, len(flat), step):
        part = flat[first : first + step]
        result[first : first + step] = denoise(part, noise_deviation(part))
    return result.reshape(slices.shape)


def _check_counts(**counts: float) -> None:
    for name, count in counts.items():
        if count < 1 or count != int(count):
            raise ValueError(f"{name} is {count:g}, not a number from 1 on")


@dataclass(frozen=True)
class ShearletDenoise(IntensityStep):
    """Hard threshold on the shearlet coefficients of each slice.

    Attributes:
        scales: Octaves that are thresholded.
        directions: Wedges of the half plane at the two finest scales; half as many at each two below.
        threshold: Smallest coefficient that is kept, in deviations of its noise.
        finest: The same at the finest scale, where most coefficients are noise alone.
    """

    scales: float = 4
    directions: float = 16
    threshold: float = 3.0
    finest: float = 3.5

    def __post_init__(self) -> None:
        _check_counts(scales=self.scales, directions=self.directions)
        for name, value in (("threshold", self.threshold), ("finest", self.finest)):
            if value < 0:
                raise ValueError(f"{name} is {value:g}, below 0")

    def change(self, slices: np.ndarray) -> np.ndarray:
        """See the class."""
        thresholds = np.array([self.finest, *[self.threshold] * (int(self.scales) - 1)])
        return _in_blocks(
            slices, lambda part, sigma: denoise_shearlets(part, sigma, thresholds, int(self.directions))
        )


@dataclass(frozen=True)
class WaveletDenoise(IntensityStep):
    """Soft threshold on the db4 wavelet coefficients of each slice, chosen band by band (BayesShrink).

    Attributes:
        levels: Octaves that are thresholded.
    """

    levels: float = 4

    def __post_init__(self) -> None:
        _check_counts(levels=self.levels)

    def change(self, slices: np.ndarray) -> np.ndarray:
        """See the class."""
        return _in_blocks(slices, lambda part, sigma: denoise_wavelets(part, sigma, int(self.levels)))
