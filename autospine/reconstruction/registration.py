"""In-plane displacement between neighbouring slices, and slices warped along it.

The field is estimated at the mid position, so that neither neighbour is preferred (a symmetric form of Lucas and
Kanade's image registration, IJCAI 1981): of all small shifts it takes the one that best explains, within a Gaussian
window, how the two slices differ when each is warped half-way; from coarse pixels to fine ones. Where none explains
the difference, because the anatomy is another one, the field stays near zero and the result near a plain blend.
"""

from __future__ import annotations

import numpy as np

from autospine.reconstruction.grid import SliceGrid

PIXEL_MM = 1.0  # finest pixels on which displacements are estimated
LEVELS = 4  # of the pyramid, each twice as coarse as the one before
SMALLEST = 16  # pixels below which a level is left out
UPDATES = 8  # of the field per level
WINDOW = 10.0  # standard deviation of the window, pixels of the level
SMOOTHING = 5.0  # the same for the field after each update
DAMPING = 10.0  # how strongly a difference that remains holds updates back
FLATNESS = 0.01  # squared contrast, in deviations per pixel, below which the field stays


def interpolate_by_registration(image: np.ndarray, grid: SliceGrid, spacing: tuple[float, float]) -> np.ndarray:
    """Warp both neighbours of a new slice along the displacement that the first channel tells, then blend them.

    Returns:
        `(channels, grid.count, rows, columns)` float32; measured slices unchanged.
    """
    result = np.empty((image.shape[0], grid.count, *image.shape[2:]), np.float32)
    result[:, :: grid.subdivisions] = image
    for low in range(grid.measured - 1):
        field = displacement(image[0, low], image[0, low + 1], spacing)
        for step in range(1, grid.subdivisions):
            share = step / grid.subdivisions
            for channel, interpolated in zip(image, result, strict=True):
                below = warp(channel[low], -share * field, order=3)
                above = warp(channel[low + 1], (1 - share) * field, order=3)
                interpolated[low * grid.subdivisions + step] = (1 - share) * below + share * above
    return result


def displacement(
    below: np.ndarray, above: np.ndarray, spacing: tuple[float, float] = (PIXEL_MM, PIXEL_MM)
) -> np.ndarray:
    """Estimate the field: what lies at `x - field / 2` in one slice lies at `x + field / 2` in the next.

    Returns:
        `(2, rows, columns)` float32, rows and columns in pixels. Swapped slices give the opposite field.
    """
    from scipy.ndimage import gaussian_filter

    scale = max(float(below.std() + above.std()) / 2, 1e-6)
    pair = np.stack([below, above]).astype(np.float32) / scale  # (2, rows, columns)
    shape = np.array(below.shape)
    finest = np.maximum(np.round(shape * spacing / PIXEL_MM), 1)
    field = np.zeros((2, 1, 1), np.float32)
    for level in reversed(range(LEVELS)):
        size = np.minimum(np.ceil(finest / 2**level), shape).astype(int)
        if size.min() < min(SMALLEST, *shape) and level > 0:
            continue
        sigma = np.maximum(shape / size - 1, 0) / 2
        coarse = _resized(gaussian_filter(pair, (0, *sigma)), size)
        field = _scaled(field, size)
        for _ in range(UPDATES):
            field = field + _update(coarse[0], coarse[1], field)
            field = gaussian_filter(field, (0, SMOOTHING, SMOOTHING))
    return _scaled(field, shape)


def warp(plane: np.ndarray, field: np.ndarray, order: int = 1) -> np.ndarray:
    """Read `(rows, columns)` values at every pixel plus its displacement, edges repeated, by splines of `order`."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.indices(plane.shape, dtype=np.float32)
    points = np.stack([rows + field[0], columns + field[1]])
    return map_coordinates(plane, points, order=order, mode="nearest", output=np.float32)


def _update(below: np.ndarray, above: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Return the update of the field that explains the remaining difference, `(2, rows, columns)`."""
    from scipy.ndimage import gaussian_filter

    first, second = warp(below, -field / 2), warp(above, field / 2)
    difference = second - first
    down, right = np.gradient((first + second) / 2)
    products = (down * down, right * right, down * right, down * difference, right * difference)
    dd, rr, dr, du, ru = (gaussian_filter(product, WINDOW) for product in products)
    damping = FLATNESS + DAMPING * gaussian_filter(difference * difference, WINDOW)
    dd, rr = dd + damping, rr + damping
    determinant = dd * rr - dr * dr
    return np.clip(np.stack([dr * ru - rr * du, dr * du - dd * ru]) / determinant, -1, 1)


def _resized(planes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Resample `(n, rows, columns)` linearly onto another pixel grid over the same extent."""
    from autospine.volumes.resampling import resize

    return resize(planes, (int(size[0]), int(size[1])))


def _scaled(field: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the same displacement on another pixel grid, in its pixels."""
    factors = (size / field.shape[1:]).astype(np.float32)
    return _resized(field, size) * factors[:, None, None]
