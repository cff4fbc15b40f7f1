"""Transforms that change intensities, slice by slice or case by case."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from autospine.preprocessing.transforms.base import CaseData, SameGrid, check_count, check_flag

FLAT = 1e-6  # a deviation below this share of the largest value is rounding


class IntensityTransform(SameGrid, ABC):
    """Base of these transforms: slices are taken along the view axis, in volumes along the first."""

    @abstractmethod
    def change(self, slices: np.ndarray) -> np.ndarray:
        """Return new values of `(channels, slices, height, width)` float32; must not overwrite them."""

    def apply(self, case: CaseData) -> CaseData:
        """Return the case with other intensities."""
        axis = (case.view_axis or 0) + 1
        slices = np.moveaxis(case.image, axis, 1)  # (channels, slices, height, width)
        changed = self.change(np.ascontiguousarray(slices)).astype(np.float32, copy=False)
        return replace(case, image=np.ascontiguousarray(np.moveaxis(changed, 1, axis)))


def _axes(per_slice: float) -> tuple[int, ...]:
    """Return the axes of `(channels, slices, height, width)` that share their statistics."""
    return (2, 3) if per_slice else (1, 2, 3)


@dataclass(frozen=True)
class ZScore(IntensityTransform):
    """Scale each channel to mean 0 and deviation 1; what is constant becomes 0."""

    per_slice: float = 0  # 1 takes each slice for itself, 0 the whole case

    def __post_init__(self) -> None:
        check_flag("per_slice", self.per_slice)

    def change(self, slices: np.ndarray) -> np.ndarray:
        """Transform `(channels, slices, height, width)` as the class says."""
        if not self.per_slice:
            return self._scaled(slices)
        result = np.empty_like(slices)
        for k in range(slices.shape[1]):  # all at once take several times their memory
            result[:, k : k + 1] = self._scaled(slices[:, k : k + 1])
        return result

    def _scaled(self, slices: np.ndarray) -> np.ndarray:
        axes = _axes(self.per_slice)
        mean = slices.mean(axis=axes, keepdims=True, dtype=np.float64)
        deviation = slices.std(axis=axes, keepdims=True, dtype=np.float64)
        flat = deviation <= FLAT * np.abs(slices).max(axis=axes, keepdims=True)
        factor = np.where(flat, 0, 1 / np.where(flat, 1, deviation))
        return (slices - mean.astype(np.float32)) * factor.astype(np.float32)


@dataclass(frozen=True)
class UnitRange(IntensityTransform):
    """Scale two percentiles of each channel to 0 and 1 and clip beyond; what is constant becomes 0."""

    # lower, upper: percentiles, 0 to 100.
    lower: float = 0
    upper: float = 100
    per_slice: float = 0  # 1 takes each slice for itself, 0 the whole case

    def __post_init__(self) -> None:
        check_flag("per_slice", self.per_slice)
        if not 0 <= self.lower < self.upper <= 100:
            raise ValueError(f"percentiles {self.lower:g} and {self.upper:g} do not rise from 0 to 100")

    def change(self, slices: np.ndarray) -> np.ndarray:
        """Transform `(channels, slices, height, width)` as the class says."""
        axes = _axes(self.per_slice)
        low, high = np.percentile(slices, (self.lower, self.upper), axis=axes, keepdims=True)
        width = high - low
        flat = width <= FLAT * np.abs(slices).max(axis=axes, keepdims=True)
        factor = np.where(flat, 0, 1 / np.where(flat, 1, width))
        return np.clip((slices - low.astype(np.float32)) * factor.astype(np.float32), 0, 1)


@dataclass(frozen=True)
class AdaptiveHistogram(IntensityTransform):
    """Equalise the histogram of each slice adaptively, with limited contrast (Zuiderveld 1994); gives 0 to 1."""

    clip: float = 0.01  # largest share of a tile's pixels that one bin may keep; more contrast with more
    tiles: float = 8  # tiles along each side of a slice
    bins: float = 256  # of the histograms

    def __post_init__(self) -> None:
        if not 0 < self.clip <= 1:
            raise ValueError(f"clip is {self.clip:g}, not a share above 0 and up to 1")
        check_count("tiles", self.tiles)
        check_count("bins", self.bins)

    def change(self, slices: np.ndarray) -> np.ndarray:
        """Transform `(channels, slices, height, width)` as the class says."""
        from skimage.exposure import equalize_adapthist

        tile = [max(round(size / self.tiles), 1) for size in slices.shape[2:]]
        unit = UnitRange(per_slice=1).change(slices)
        result = np.zeros_like(unit)
        for index in np.ndindex(slices.shape[:2]):
            if unit[index].any():  # a constant slice stays 0
                result[index] = equalize_adapthist(unit[index], tile, self.clip, int(self.bins))
        return result
