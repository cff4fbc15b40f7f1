"""The shape of a vertebral body: endplates and walls fitted, corners where their lines meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.measurement.contours import Contours, Curve, find_contours, fit_curve
from autospine.measurement.frames import BACK, Frame, make_frame
from autospine.measurement.instances import Instance

ITERATIONS = 4  # of estimating the directions from the fitted endplates, and of turning a line until it is tangent
BAND_MM = 10.0  # to either side of the middle: slices that tell of the endplates, short of where pedicles join
WALL_BAND_MM = 8.0  # the walls bend away sooner
SAMPLES = 80  # of a third of an endplate or wall
CENTRAL_SHARE = 0.3  # of the half height or depth: no endplate or wall lies within
RIM_SHARE = 0.97  # of an endplate's or wall's extent: rims are searched up to here
LEAST_VOXELS = 60
MIDDLE_MM = 2.0  # to either side of the middle: the middle height is the mean there
Point = tuple[float, float]


@dataclass(frozen=True)
class Endplate:
    """An endplate: its line is tangent to the anterior and the posterior rim.

    Attributes:
        anterior: Its anterior corner (v, w) in mm in the body's frame, where its line meets the anterior wall's.
        posterior: Its posterior corner.
        deviation: Standard deviations of its height at the anterior rim, the middle and the posterior rim, in mm.
    """

    anterior: Point
    posterior: Point
    deviation: tuple[float, float, float]

    @property
    def depth(self) -> float:
        """Return the distance of the corners in mm."""
        return float(np.hypot(self.posterior[0] - self.anterior[0], self.posterior[1] - self.anterior[1]))

    @property
    def tilt_deviation(self) -> float:
        """Return the standard deviation of the line's tilt in degrees."""
        return float(np.degrees(np.hypot(self.deviation[0], self.deviation[2]) / self.depth))


@dataclass(frozen=True)
class Body:
    """A vertebral body in its own mid-sagittal plane (u = 0)."""

    frame: Frame
    top: Curve
    bottom: Curve
    upper: Endplate
    lower: Endplate

    def direction_of(self, endplate: Endplate) -> np.ndarray:
        """Return the posterior direction of an endplate's line, in grid coordinates, (3,)."""
        return self.frame.direction(
            0, endplate.posterior[0] - endplate.anterior[0], endplate.posterior[1] - endplate.anterior[1]
        )

    def lateral_direction_of(self, curve: Curve) -> np.ndarray:
        """Return the left direction of an endplate, in grid coordinates, (3,)."""
        return self.frame.direction(1, 0, curve.slant)

    @property
    def middle_v(self) -> float:
        """Return v of the middle between the four corners."""
        return float(np.mean([p.anterior[0] + p.posterior[0] for p in (self.upper, self.lower)]) / 2)

    @property
    def middle_height(self) -> float:
        """Return the distance of the endplates in the middle, in mm."""
        v = self.middle_v + np.linspace(-MIDDLE_MM, MIDDLE_MM, 9)
        return float((self.top.at(v) - self.bottom.at(v)).mean())


def fit_body(instance: Instance, up: np.ndarray, back: np.ndarray = BACK, middle: float | None = None) -> Body | None:
    """Fit a vertebral body.

    Args:
        instance: The body alone.
        up: Roughly the body's cranial direction, (3,); the fit refines it from the endplates.
        back: Roughly its posterior direction.
        middle: x of its mid-sagittal plane in mm; None: its voxels' centre.

    Returns:
        The shape, or None where the mask is too small or too flat to have one.
    """
    if instance.voxels < LEAST_VOXELS:
        return None
    contours, band = find_contours(instance), max(BAND_MM, 1.01 * instance.spacing[0])
    frame = make_frame(instance.middle_point(middle), up, back)
    body = None
    for _ in range(ITERATIONS):
        body = _fit_contours(frame, contours, band, instance.pixel)
        if body is None:
            return None
        posterior = (body.direction_of(body.upper) + body.direction_of(body.lower)) / 2
        left = (body.lateral_direction_of(body.top) + body.lateral_direction_of(body.bottom)) / 2
        frame = make_frame(frame.origin, np.cross(left, posterior), back)
    return _fit_contours(frame, contours, band, instance.pixel)


def _fit_contours(frame: Frame, contours: Contours, band: float, pixel: float) -> Body | None:
    local = frame.local(contours.points)
    inside = np.abs(local[:, 0]) <= band
    local, normals = local[inside], contours.normals[inside] @ frame.axes.T
    if len(local) < LEAST_VOXELS / 2:
        return None
    u, v, w = local.T
    low_v, high_v = np.percentile(v, (1, 99))
    low_w, high_w = np.percentile(w, (1, 99))
    depth_share, height_share = (  # -1 to 1
        2 * (values - (low + high) / 2) / max(high - low, 1e-6)
        for values, low, high in ((v, low_v, high_v), (w, low_w, high_w))
    )
    in_wall_band = np.abs(u) <= max(WALL_BAND_MM, np.abs(u).min() + 1e-6)
    faces_endplate = np.abs(normals[:, 2]) > np.abs(normals[:, 1])  # an endplate's, not a wall's
    surfaces = {
        "top": (v, w, faces_endplate & (normals[:, 2] > 0) & (height_share > CENTRAL_SHARE)),
        "bottom": (v, w, faces_endplate & (normals[:, 2] < 0) & (height_share < -CENTRAL_SHARE)),
        "front": (w, v, ~faces_endplate & (normals[:, 1] < 0) & (depth_share < -CENTRAL_SHARE) & in_wall_band),
        "back": (w, v, ~faces_endplate & (normals[:, 1] > 0) & (depth_share > CENTRAL_SHARE) & in_wall_band),
    }
    curves = {name: fit_curve(t[chosen], u[chosen], h[chosen], pixel) for name, (t, h, chosen) in surfaces.items()}
    top, bottom, front, back = curves["top"], curves["bottom"], curves["front"], curves["back"]
    if top is None or bottom is None or front is None or back is None:
        return None
    span_v, span_w = (low_v, high_v), (low_w, high_w)
    lines = {
        "top": tangent_line(top, span_v, 1),
        "bottom": tangent_line(bottom, span_v, -1),
        "front": tangent_line(front, span_w, -1),
        "back": tangent_line(back, span_w, 1),
    }
    endplates = {
        name: Endplate(
            _intersect(lines[name], lines["front"]),
            _intersect(lines[name], lines["back"]),
            (curve.deviation(lines[name][0][0]), curve.deviation(sum(span_v) / 2), curve.deviation(lines[name][1][0])),
        )
        for name, curve in (("top", top), ("bottom", bottom))
    }
    return Body(frame, top, bottom, endplates["top"], endplates["bottom"])


def tangent_line(curve: Curve, span: Point, sign: float) -> tuple[Point, Point]:
    """Return the two points where the outer tangent of a curve touches it, one in each of its outer thirds."""
    low, high = span
    inset, third = (1 - RIM_SHARE) / 2 * (high - low), (high - low) / 3
    first = np.linspace(max(low + inset, curve.low), low + third, SAMPLES)
    last = np.linspace(high - third, min(high - inset, curve.high), SAMPLES)
    heights = [curve.at(t) for t in (first, last)]
    slope, touches = 0.0, (0, 0)
    for _ in range(ITERATIONS):
        touches = (
            int(np.argmax(sign * (heights[0] - slope * first))),
            int(np.argmax(sign * (heights[1] - slope * last))),
        )
        slope = (heights[1][touches[1]] - heights[0][touches[0]]) / (last[touches[1]] - first[touches[0]])
    i, j = touches
    return (float(first[i]), float(heights[0][i])), (float(last[j]), float(heights[1][j]))


def _intersect(endplate: tuple[Point, Point], wall: tuple[Point, Point]) -> Point:
    """Return (v, w) where an endplate's line w(v) meets a wall's line v(w)."""
    (v0, w0), (v1, w1) = endplate
    slope = (w1 - w0) / (v1 - v0)
    (s0, r0), (s1, r1) = wall
    lean = (r1 - r0) / (s1 - s0)
    # v = r0 + lean (w - s0), w = w0 + slope (v - v0)
    v = (r0 + lean * (w0 - s0 - slope * v0)) / (1 - lean * slope)
    return float(v), float(w0 + slope * (v - v0))
