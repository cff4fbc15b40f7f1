"""The upper endplate of the sacrum, found below the lowest vertebra."""

from __future__ import annotations

import numpy as np

from autospine.measurement.bodies import BAND_MM, Body, Endplate, tangent_line
from autospine.measurement.contours import find_contours, fit_curve
from autospine.measurement.frames import Frame, make_frame
from autospine.measurement.instances import Instance

MARGIN = 0.25  # of the lowest endplate's depth: the sacrum's may reach further by it
DEEPEST_MM = 28.0  # below the lowest vertebra: the sacrum's endplate lies within
FACING = 0.6  # cosine between a contour's direction and the endplate's
ITERATIONS = 3


def fit_sacrum(instance: Instance, lowest: Body) -> Body | None:
    """Fit the sacrum's upper endplate; only `upper` and `top` of the result are the sacrum's own.

    Args:
        instance: The sacrum.
        lowest: The lowest lumbar vertebra.

    Returns:
        The endplate with its frame, or None where nothing below the vertebra looks like it.
    """
    contours, endplate = find_contours(instance), lowest.lower
    band = max(BAND_MM, 1.01 * instance.spacing[0])
    margin = MARGIN * endplate.depth
    frame = Frame(lowest.frame.grid(0, *endplate.anterior), lowest.frame.axes)
    low_v, high_v, body = -margin, endplate.depth + margin, None
    for _ in range(ITERATIONS):
        u, v, w = frame.local(contours.points).T
        facing = contours.normals @ frame.axes[2] > FACING
        chosen = (np.abs(u) <= band) & facing & (v >= low_v) & (v <= high_v)
        chosen &= np.abs(w) <= DEEPEST_MM
        if not chosen.any():
            return None
        chosen &= np.abs(w - np.median(w[chosen])) <= DEEPEST_MM / 2
        curve = fit_curve(v[chosen], u[chosen], w[chosen], instance.pixel)
        if curve is None or curve.high - curve.low < endplate.depth / 2:
            return None
        first, last = tangent_line(curve, (curve.low, curve.high), 1)
        slope = (last[1] - first[1]) / (last[0] - first[0])
        ends = [(t, first[1] + slope * (t - first[0])) for t in (curve.low, curve.high)]
        deviations = (curve.deviation(first[0]), curve.deviation((first[0] + last[0]) / 2), curve.deviation(last[0]))
        upper = Endplate(ends[0], ends[1], deviations)
        body = Body(frame, curve, curve, upper, upper)
        posterior = body.direction_of(upper)
        frame = make_frame(frame.grid(0, *ends[0]), np.cross(frame.axes[0], posterior), posterior)
        low_v, high_v = -margin, upper.depth + margin
    return body
