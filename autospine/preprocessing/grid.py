"""Grid of a plan, and of one case on it: resampled first, then with finer slices where the plan interpolates them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autospine.preprocessing.resampling import resize_labels
from autospine.reconstruction.grid import SliceGrid, plan_slices
from autospine.reconstruction.images import Method, interpolate_image
from autospine.reconstruction.masks import interpolate_mask
from autospine.volumes.geometry import three
from autospine.volumes.resampling import resize, resized_shape

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

FINEST_MM, COARSEST_MM = 0.05, 50.0  # voxels of a plan, as of a file
FINEST_SLICES_MM = 0.1  # finer ones would only fill the memory
MOST_VOXELS = 2**29  # of one case: 2 GiB as float32


@dataclass(frozen=True)
class SliceInterpolation:
    """How a plan interpolates slices between the measured ones."""

    # Wanted distance of slices; each measured gap gets the nearest whole number of subdivisions.
    spacing_mm: float = 1.0
    method: Method = "linear"  # of the image; masks follow the centroids of their labels

    def __post_init__(self) -> None:
        if not (math.isfinite(self.spacing_mm) and self.spacing_mm >= FINEST_SLICES_MM):
            raise ValueError(f"slices every {self.spacing_mm:g} mm, not {FINEST_SLICES_MM:g} mm or more")


@dataclass(frozen=True)
class Grid:
    """Spacing rules of a plan."""

    # mm along (slices, rows, columns); None keeps what each case has.
    spacing: tuple[float | None, float | None, float | None]
    # A case whose spacing along an axis is within this share of the target keeps its own.
    tolerance: tuple[float, float, float] = (0.25, 0.02, 0.02)
    image_order: int = 1  # spline order for images: 1 linear, 3 cubic
    # How slices are interpolated after that, between those of `spacing`; None leaves them.
    slice_interpolation: SliceInterpolation | None = None

    def __post_init__(self) -> None:
        if not all(mm is None or FINEST_MM <= mm <= COARSEST_MM for mm in self.spacing):
            raise ValueError(f"spacing is {self.spacing}, not within {FINEST_MM:g} to {COARSEST_MM:g} mm")
        if min(self.tolerance) < 0 or not 0 <= self.image_order <= 5:
            raise ValueError("tolerance should be 0 or more, image_order 0 to 5")

    def spacing_for(self, own: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the mm that a case of spacing `own` is resampled to, before slices are interpolated."""
        return three(
            spacing if target is None or abs(spacing - target) <= share * target else target
            for spacing, target, share in zip(own, self.spacing, self.tolerance, strict=True)
        )


@dataclass(frozen=True)
class CaseGrid:
    """Grid of one case."""

    resampled: Shape  # (slices, rows, columns) after resampling
    resampled_spacing: Spacing  # mm along the same axes
    slices: SliceGrid | None = None  # finer slices between the resampled ones; None where the plan interpolates none
    method: Method = "linear"  # of interpolating the image

    @property
    def shape(self) -> Shape:
        """Return the voxels along (slices, rows, columns)."""
        count = self.slices.count if self.slices else self.resampled[0]
        return (count, *self.resampled[1:])

    @property
    def spacing(self) -> Spacing:
        """Return mm along the same axes."""
        across = self.slices.spacing_mm if self.slices else self.resampled_spacing[0]
        return (across, *self.resampled_spacing[1:])

    @property
    def measured(self) -> range:
        """Return the indices of the slices that are not interpolated."""
        return self.slices.measured_indices if self.slices else range(self.resampled[0])

    def resample(self, image: np.ndarray) -> np.ndarray:
        """Return a resampled copy of `(channels, slices, rows, columns)` float32, without interpolated slices.

        Raises:
            MemoryError: The grid holds more voxels than any scan on it.
        """
        if math.prod(self.shape) > MOST_VOXELS:
            raise MemoryError(f"{' x '.join(map(str, self.shape))} voxels on the plan's grid; is its spacing right?")
        resampled = resize(image, self.resampled)
        return resampled.copy() if resampled is image else resampled

    def interpolate(self, image: np.ndarray) -> np.ndarray:
        """Interpolate slices between those that `resample` gave."""
        if self.slices is None or self.slices.subdivisions == 1:
            return image
        return interpolate_image(image, self.slices, self.method, self.resampled_spacing[1:])

    def resample_mask(self, mask: np.ndarray, ignore_label: int | None) -> np.ndarray:
        """Resample `(slices, rows, columns)` labels and interpolate slices between them, in the same integer type."""
        resampled = resize_labels(mask, self.resampled)
        if self.slices is None:
            return resampled
        return interpolate_mask(resampled, self.slices, self.resampled_spacing, ignore_label=ignore_label)


def case_grid(grid: Grid, shape: tuple[int, ...], spacing: Spacing) -> CaseGrid:
    """Apply a plan's spacing rules to a case of (slices, rows, columns) and mm along the same axes."""
    size = three(resized_shape(shape, spacing, grid.spacing_for(spacing)))
    millimetres = three(mm * old / new for mm, old, new in zip(spacing, shape, size, strict=True))
    if grid.slice_interpolation is None:
        return CaseGrid(size, millimetres)
    slices = plan_slices(size[0], millimetres[0], grid.slice_interpolation.spacing_mm)
    return CaseGrid(size, millimetres, slices, grid.slice_interpolation.method)
