"""Sub-voxel contours of masks in sagittal slices, and smooth robust curves through their points.

Coordinates are the canonical grid's own, in mm: x to the left, y to the back, z up, from the first voxel's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter, map_coordinates

from autospine.measurement.instances import Instance

SMOOTHING = 0.35  # pixels by which a mask is smoothed before its contour is drawn at one half
NORMAL_SMOOTHING = 1.5  # pixels, for the contour's direction
PADDING = 6  # pixels around a crop, so that smoothing does not meet its edge
KNOTS_MM = 3.0  # distance of the knots of a curve
STIFFNESS = 0.3  # weight of the curve's second differences
ITERATIONS, HUBER_MM = 4, 0.6  # of the robust fit; residuals beyond count less
CORRELATION = 2.0  # neighbouring points of a contour share their errors
LEAST_POINTS = 8
RIDGE = 1e-9  # keeps the equations solvable where points are few


@dataclass(frozen=True)
class Contours:
    """The contours of a mask in all its sagittal slices.

    Attributes:
        points: (points, 3): x, y, z in mm.
        normals: (points, 3): outward, within the slice, of length 1.
    """

    points: np.ndarray
    normals: np.ndarray


def find_contours(instance: Instance) -> Contours:
    """Find the contours of an instance in its sagittal slices."""
    mask, offset, spacing = instance.mask, instance.offset, instance.spacing
    padded = np.pad(mask, ((0, 0), (PADDING, PADDING), (PADDING, PADDING))).astype(np.float32)
    for_contour, for_normals = (gaussian_filter(padded, (0.0, width, width)) for width in (SMOOTHING, NORMAL_SMOOTHING))
    points, normals = [np.empty((0, 3))], [np.empty((0, 3))]
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        gradient = np.gradient(for_normals[index])
        for line in contour_generator(z=for_contour[index]).lines(0.5):
            columns, rows = np.asarray(line)[:-1].T
            down, back = (map_coordinates(component, (rows, columns), order=1) for component in gradient)
            outward = np.column_stack([0 * down, -back / spacing[2], down / spacing[1]])
            normals.append(outward / np.maximum(np.linalg.norm(outward, axis=1), 1e-9)[:, None])
            x = np.full(len(rows), (index + offset[0]) * spacing[0])
            y, z = (columns - PADDING + offset[2]) * spacing[2], -(rows - PADDING + offset[1]) * spacing[1]
            points.append(np.column_stack([x, y, z]))
    return Contours(np.concatenate(points), np.concatenate(normals))


@dataclass(frozen=True)
class Curve:
    """A smooth curve h(t) across a surface's middle, from points at several distances u to its side.

    Attributes:
        low: First t, in mm.
        high: Last t.
        spline: h at u = 0.
        slant: By how much h grows with u (mm per mm).
        covariance: Of the spline's coefficients.
    """

    low: float
    high: float
    spline: BSpline
    slant: float
    slant_deviation: float
    covariance: np.ndarray

    def at(self, t: float | np.ndarray) -> np.ndarray:
        """Return h in mm at t."""
        return self.spline(np.clip(t, self.low, self.high))

    def deviation(self, t: float) -> float:
        """Return the standard deviation of h at t, in mm."""
        row = BSpline.design_matrix(np.array([np.clip(t, self.low, self.high)]), self.spline.t, 3).toarray()[0]
        return float(np.sqrt(row @ self.covariance @ row))


def fit_curve(t: np.ndarray, u: np.ndarray, h: np.ndarray, pixel: float) -> Curve | None:
    """Fit h = f(t) + b u + c u^2 robustly, f a cubic spline whose bends cost (P-spline).

    Args:
        t: Along the curve, (points,) mm.
        u: To the side.
        h: Height.
        pixel: mm between voxels of a slice: no point is known better than the deviation of rounding to it.

    Returns:
        The curve at u = 0, or None with too few points.
    """
    if len(t) < LEAST_POINTS or np.ptp(t) < KNOTS_MM:
        return None
    low, high = float(t.min()), float(t.max())
    inner = np.linspace(low, high, max(3, round((high - low) / KNOTS_MM) + 1))
    knots = np.concatenate([[low] * 3, inner, [high] * 3])
    basis = BSpline.design_matrix(t, knots, 3).toarray()  # (points, coefficients)
    count = basis.shape[1]
    spread = np.ptp(u)
    lateral = np.column_stack([u, u * u]) if spread > 1e-6 else np.empty((len(t), 0))
    matrix = np.column_stack([basis, lateral])
    differences = np.zeros((count - 2, matrix.shape[1]))
    differences[:, :count] = np.diff(np.eye(count), 2, axis=0)
    # A faint cost keeps the side terms down where few slices cannot tell them apart.
    ridge = np.diag([0.0] * count + [1e-3, 1e-1][: lateral.shape[1]])
    penalty = STIFFNESS * len(t) / count * differences.T @ differences + ridge + RIDGE * np.eye(len(ridge))
    weight = np.ones(len(t))
    inverse, solution = penalty, np.zeros(matrix.shape[1])
    for _ in range(ITERATIONS):
        inverse = np.linalg.inv(matrix.T @ (matrix * weight[:, None]) + penalty)
        solution = inverse @ (matrix.T @ (weight * h))
        residual = np.abs(h - matrix @ solution)
        weight = HUBER_MM / np.maximum(residual, HUBER_MM)
    variance = max(float(np.average(residual**2, weights=weight)), pixel**2 / 12) * CORRELATION
    covariance = inverse * variance
    slant = float(solution[count]) if lateral.shape[1] else 0.0
    slant_deviation = float(np.sqrt(max(covariance[count, count], 0))) if lateral.shape[1] else np.inf
    return Curve(low, high, BSpline(knots, solution[:count], 3), slant, slant_deviation, covariance[:count, :count])
