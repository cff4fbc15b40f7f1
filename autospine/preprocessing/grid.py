"""One case's way onto a plan's grid: resampled first, then given finer slices where the plan interpolates them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autospine.preprocessing.resampling import resize, resize_labels, resized_shape
from autospine.reconstruction.grid import SliceGrid, plan_slices
from autospine.reconstruction.images import Method

if TYPE_CHECKING:
    from autospine.reconstruction.masks import Rule

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

FINEST_SLICES_MM = 0.1  # finer ones would only fill the memory


@dataclass(frozen=True)
class SliceInterpolation:
    """How slices between the measured ones are made.

    Attributes:
        spacing_mm: Wanted distance of slices; each measured gap is divided into the nearest whole number of steps.
        method: Of the image; masks follow the centroids of their labels.
    """

    spacing_mm: float = 1.0
    method: Method = "linear"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.spacing_mm) and self.spacing_mm >= FINEST_SLICES_MM):
            raise ValueError(f"slices every {self.spacing_mm:g} mm, not {FINEST_SLICES_MM:g} mm or more")


@dataclass(frozen=True)
class Grid:
    """The grid that cases are brought to.

    Attributes:
        spacing: mm along (slices, rows, columns); None keeps what each case has.
        tolerance: A case whose spacing along an axis is within this share of the target keeps its own.
        image_order: Spline order for images: 1 linear, 3 cubic.
        slice_interpolation: How slices are interpolated after that, between those of `spacing`; None leaves them.
    """

    spacing: tuple[float | None, float | None, float | None]
    tolerance: tuple[float, float, float] = (0.25, 0.02, 0.02)
    image_order: int = 1
    slice_interpolation: SliceInterpolation | None = None

    def spacing_for(self, own: tuple[float, float, float]) -> tuple[float, float, float]:
        """The spacing that a case of spacing `own` gets, mm, before slices are interpolated."""
        chosen = [
            mine if target is None or abs(mine - target) <= share * target else target
            for mine, target, share in zip(own, self.spacing, self.tolerance, strict=True)
        ]
        return (chosen[0], chosen[1], chosen[2])


@dataclass(frozen=True)
class CaseGrid:
    """Where one case's voxels come to lie.

    Attributes:
        resampled: (slices, rows, columns) after resampling.
        resampled_spacing: mm along the same axes.
        slices: Finer slices between the resampled ones; None where the plan interpolates none.
        method: Of interpolating the image.
    """

    resampled: Shape
    resampled_spacing: Spacing
    slices: SliceGrid | None = None
    method: Method = "linear"

    @property
    def shape(self) -> Shape:
        """Of the plan's grid, (slices, rows, columns)."""
        count = self.slices.count if self.slices else self.resampled[0]
        return (count, *self.resampled[1:])

    @property
    def spacing(self) -> Spacing:
        """Of the plan's grid, mm along the same axes."""
        across = self.slices.spacing_mm if self.slices else self.resampled_spacing[0]
        return (across, *self.resampled_spacing[1:])

    @property
    def measured(self) -> range:
        """Slices of the plan's grid that were not interpolated."""
        return self.slices.measured_indices if self.slices else range(self.resampled[0])

    def resample(self, image: np.ndarray) -> np.ndarray:
        """A copy of `(channels, slices, rows, columns)` float32 without the finer slices."""
        moved = resize(image, self.resampled)
        return moved.copy() if moved is image else moved

    def interpolate(self, image: np.ndarray) -> np.ndarray:
        """Finer slices of what `resample` gave."""
        if self.slices is None or self.slices.subdivisions == 1:
            return image
        from autospine.reconstruction.images import interpolate_image

        return interpolate_image(image, self.slices, self.method, self.resampled_spacing[1:])

    def resample_mask(self, mask: np.ndarray, ignore_label: int | None) -> np.ndarray:
        """A mask on the plan's grid.

        Args:
            mask: `(slices, rows, columns)` labels as read.
            ignore_label: Marks voxels that nobody annotated, or None.

        Returns:
            `(slices, rows, columns)`, same integer type.
        """
        moved = resize_labels(mask, self.resampled)
        if self.slices is None:
            return moved
        return interpolate_labels(moved, self.slices, self.resampled_spacing, ignore_label)


def case_grid(grid: Grid, shape: tuple[int, ...], spacing: Spacing) -> CaseGrid:
    """What a plan's grid means for a case.

    Args:
        grid: Of the plan.
        shape: The case's (slices, rows, columns).
        spacing: Its mm along the same axes.
    """
    resampled = resized_shape(shape, spacing, grid.spacing_for(spacing))
    real = [step * old / new for step, old, new in zip(spacing, shape, resampled, strict=True)]
    size, millimetres = (resampled[0], resampled[1], resampled[2]), (real[0], real[1], real[2])
    if grid.slice_interpolation is None:
        return CaseGrid(size, millimetres)
    slices = plan_slices(size[0], millimetres[0], grid.slice_interpolation.spacing_mm)
    return CaseGrid(size, millimetres, slices, grid.slice_interpolation.method)


def interpolate_labels(
    mask: np.ndarray, slices: SliceGrid, spacing: Spacing, ignore_label: int | None, rule: Rule = "aligned"
) -> np.ndarray:
    """Finer slices of a mask that may have voxels which nobody annotated.

    Args:
        mask: `(slices, rows, columns)` labels, measured slices.
        slices: The finer grid.
        spacing: mm of `mask` along its axes.
        ignore_label: Marks voxels without annotation. An interpolated voxel has it where a measured neighbour has it,
            unless a label reaches there; a slice without any annotation is filled in like an interpolated one.
        rule: Of `autospine.reconstruction.interpolate_mask`.

    Returns:
        `(slices.count, rows, columns)`, same integer type.
    """
    from autospine.reconstruction.masks import interpolate_mask

    unknown = mask == ignore_label if ignore_label is not None else np.zeros(mask.shape, bool)
    if not unknown.any():
        return interpolate_mask(mask, slices, spacing, rule)
    result = interpolate_mask(np.where(unknown, mask.dtype.type(0), mask), slices, spacing, rule)
    place = np.arange(slices.count)
    before, behind = place // slices.subdivisions, -(-place // slices.subdivisions)
    result[(unknown[before] | unknown[behind]) & (result == 0)] = ignore_label
    return result
