"""A scan or mask as a canonical array that remembers the grid of its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autospine.volumes.geometry import Geometry


@dataclass(frozen=True)
class Volume:
    """A canonical volume: slices right to left, rows superior to inferior, columns anterior to posterior.

    Attributes:
        array: Values, shape (slices, rows, columns).
        spacing: Millimetres between voxel centres, in the same order.
        geometry: The file's own grid.
        axes: Canonical axis a is file axis `axes[a]` ...
        flips: ... and reversed where `flips[a]`.
        path: The file or DICOM folder that it came from.
        negative: The negative label that the file holds, and the label of `array` that stands for it.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    geometry: Geometry
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    path: Path | None = None
    negative: tuple[int, int] | None = None

    @classmethod
    def from_file_order(
        cls,
        array: np.ndarray,
        geometry: Geometry,
        path: Path | None = None,
        dtype: type[np.generic] | np.dtype | None = None,
    ) -> Volume:
        """Turn values in the file's order into a canonical volume.

        Args:
            array: Values, shape `geometry.size`, axes (i, j, k).
            geometry: The file's own grid.
            path: Where the values came from.
            dtype: Type of the values that the volume holds; default their own.

        Returns:
            A volume whose array is contiguous and always a copy, made in one pass.
        """
        axes, flips = geometry.canonical_axes()
        view = array.transpose(axes)[_flipped(flips)]  # (slices, rows, columns)
        # A float64 scan may exceed float32; the reader looks for the infinities that result.
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.array(view, dtype=dtype, order="C")
        return cls(values, geometry.canonical().spacing, geometry, axes, flips, path)

    def in_file_order(self) -> np.ndarray:
        """Return a view of the values with the file's axes (i, j, k), shape `geometry.size`."""
        return self.array[_flipped(self.flips)].transpose(np.argsort(self.axes))

    def with_array(self, array: np.ndarray) -> Volume:
        """Return other values on the same grid.

        Raises:
            ValueError: The array's shape differs.
        """
        if array.shape != self.array.shape:
            raise ValueError(f"an array of shape {array.shape} does not fit the grid {self.array.shape}")
        return replace(self, array=array)

    def grid_difference(self, other: Volume) -> str | None:
        """Return in words how this grid differs from another one; the same voxels in another order are the same."""
        return self.geometry.canonical().difference(other.geometry.canonical())

    def canonical_affine(self) -> np.ndarray:
        """Return the 4x4 matrix from canonical index (slice, row, column) to LPS mm."""
        return self.geometry.canonical().affine()

    @property
    def orientation(self) -> str:
        """Return the file's own axis code in SimpleITK's convention, such as "LPS" or "PIR"."""
        return self.geometry.orientation


def _flipped(flips: tuple[bool, bool, bool]) -> tuple[slice, ...]:
    return tuple(slice(None, None, -1 if flip else 1) for flip in flips)
