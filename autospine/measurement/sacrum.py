"""The upper endplate of the sacrum, found below the lowest vertebra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.measurement.bodies import BAND_MM, Body, Plate, touching_line
from autospine.measurement.contours import find_contours, fit_curve
from autospine.measurement.frames import Frame, make_frame

BEYOND = 0.25  # of the lowest endplate's depth, by which the sacrum's may reach further
DEEPEST_MM = 28.0  # below the lowest vertebra: there the sacrum's endplate has begun
FACING = 0.6  # cosine between a contour's direction and the endplate's
ROUNDS = 3


def fit_sacrum(mask: np.ndarray, corner: Sequence[int], spacing: Sequence[float], lowest: Body) -> Body | None:
    """Fit the sacrum's upper endplate; only `upper` and `top` of the result are the sacrum's own.

    Args:
        mask: Boolean (slices, rows, columns), a crop.
        corner: Index of the crop's first voxel in the grid.
        spacing: mm along each axis.
        lowest: The lowest lumbar vertebra.

    Returns:
        The endplate with its frame, or None where nothing below the vertebra looks like it.
    """
    contours, pixel = find_contours(mask, spacing, corner), max(spacing[1], spacing[2])
    plate = lowest.lower
    reach = BEYOND * plate.depth
    frame = Frame(lowest.frame.grid(0, *plate.front), lowest.frame.axes)
    low_v, high_v, body = -reach, plate.depth + reach, None
    for _ in range(ROUNDS):
        u, v, w = frame.local(contours.points).T
        facing = contours.normals @ frame.axes[2] > FACING
        part = (np.abs(u) <= max(BAND_MM, 1.01 * spacing[0])) & facing & (v >= low_v) & (v <= high_v)
        part &= np.abs(w) <= DEEPEST_MM
        if not part.any():
            return None
        part &= np.abs(w - np.median(w[part])) <= DEEPEST_MM / 2
        curve = fit_curve(v[part], u[part], w[part], pixel)
        if curve is None or curve.high - curve.low < plate.depth / 2:
            return None
        first, last = touching_line(curve, (curve.low, curve.high), 1)
        slope = (last[1] - first[1]) / (last[0] - first[0])
        ends = [(t, first[1] + slope * (t - first[0])) for t in (curve.low, curve.high)]
        doubts = (curve.deviation(first[0]), curve.deviation((first[0] + last[0]) / 2), curve.deviation(last[0]))
        upper = Plate(ends[0], ends[1], doubts)
        body = Body(frame, curve, curve, upper, upper)
        line = body.line(upper)
        frame = make_frame(frame.grid(0, *ends[0]), np.cross(frame.axes[0], line), line)
        low_v, high_v = -reach, upper.depth + reach
    return body
