"""Interpolate images between measured slices."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from autospine.reconstruction.grid import SliceGrid

Method = Literal["linear", "cubic", "registration"]
METHODS: tuple[Method, ...] = get_args(Method)


def interpolate_image(
    image: np.ndarray, grid: SliceGrid, method: Method = "linear", spacing: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Interpolate the slices between the measured ones, which come back unchanged.

    Args:
        image: `(channels, slices, rows, columns)` float32, measured slices.
        grid: Of `plan_slices` for them.
        method: "linear" blends the two neighbours; "cubic" is a natural spline through all slices, kept within the
            scan's own range; "registration" warps both neighbours along the displacement between them, then blends.
        spacing: mm of rows and columns; only "registration" looks at it.

    Returns:
        `(channels, grid.count, rows, columns)` float32.

    Raises:
        ValueError: The image has another number of slices than the grid says.
    """
    if image.shape[1] != grid.measured:
        raise ValueError(f"{image.shape[1]} slices do not fit a grid of {grid.measured} measured ones")
    if grid.subdivisions == 1:
        return image.astype(np.float32)
    if method == "registration":
        from autospine.reconstruction.registration import interpolate_by_registration

        return interpolate_by_registration(image, grid, spacing)
    weights = _linear_weights(grid) if method == "linear" else _cubic_weights(grid)
    result = np.empty((image.shape[0], grid.count, *image.shape[2:]), np.float32)
    for channel, measured in zip(result, image, strict=True):
        np.matmul(weights, measured.reshape(grid.measured, -1), out=channel.reshape(grid.count, -1))
        if method == "cubic":
            np.clip(channel, measured.min(), measured.max(), out=channel)
    result[:, :: grid.subdivisions] = image
    return result


def _linear_weights(grid: SliceGrid) -> np.ndarray:
    """Return the weights of the measured slices in each of the finer grid, `(count, measured)`."""
    position = np.arange(grid.count)[:, None] / grid.subdivisions  # (count, 1) in measured gaps
    return np.clip(1 - np.abs(position - np.arange(grid.measured)), 0, 1).astype(np.float32)


def _cubic_weights(grid: SliceGrid) -> np.ndarray:
    """Return the same for a natural cubic spline."""
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(np.arange(grid.measured), np.eye(grid.measured), bc_type="natural")
    return spline(np.arange(grid.count) / grid.subdivisions).astype(np.float32)
