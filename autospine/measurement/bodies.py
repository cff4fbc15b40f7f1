"""The shape of a vertebral body: endplates and walls fitted, corners where their lines meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autospine.measurement.contours import Contours, Curve, find_contours, fit_curve
from autospine.measurement.frames import BACK, Frame, make_frame

ROUNDS = 4  # of finding the directions again from the fitted endplates, and of turning a line until it touches
BAND_MM = 10.0  # to either side of the middle: the endplates' slices, short of where pedicles join
WALL_BAND_MM = 8.0  # the walls bend away sooner
SAMPLES = 80  # of a third of a side
INNER = 0.3  # share of the half height or depth within which no side lies
EDGE = 0.97  # a side's curve is searched for its rims up to here
LEAST_VOXELS = 60
MIDDLE_MM = 2.0  # to either side of the middle: the middle height is the mean there
Point = tuple[float, float]


@dataclass(frozen=True)
class Plate:
    """An endplate: its line touches the front and the hind rim.

    Attributes:
        front: Its front corner (v, w) in mm in the body's frame, where its line meets the front wall's.
        back: Its hind corner.
        deviation: Of its height at the front, the middle and the back, in mm.
    """

    front: Point
    back: Point
    deviation: tuple[float, float, float]

    @property
    def depth(self) -> float:
        """Return the distance of the corners in mm."""
        return float(np.hypot(self.back[0] - self.front[0], self.back[1] - self.front[1]))

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
    upper: Plate
    lower: Plate

    def line(self, plate: Plate) -> np.ndarray:
        """Return the direction of an endplate's line to the back, in grid coordinates."""
        return self.frame.direction(0, plate.back[0] - plate.front[0], plate.back[1] - plate.front[1])

    def side(self, curve: Curve) -> np.ndarray:
        """Return the direction of an endplate to the left, in grid coordinates."""
        return self.frame.direction(1, 0, curve.slant)

    @property
    def middle_v(self) -> float:
        """Return v of the middle between the four corners."""
        return float(np.mean([p.front[0] + p.back[0] for p in (self.upper, self.lower)]) / 2)

    @property
    def middle_height(self) -> float:
        """Return the distance of the endplates in the middle, in mm."""
        v = self.middle_v + np.linspace(-MIDDLE_MM, MIDDLE_MM, 9)
        return float((self.top.at(v) - self.bottom.at(v)).mean())


def fit_body(
    mask: np.ndarray, corner: Sequence[int], spacing: Sequence[float], up: np.ndarray, back: np.ndarray = BACK
) -> Body | None:
    """Fit a vertebral body.

    Args:
        mask: Boolean (slices, rows, columns): the body alone, a crop.
        corner: Index of the crop's first voxel in the grid.
        spacing: mm along each axis.
        up: About where its top points, (3,); it is found again from the endplates.
        back: About where its back points.

    Returns:
        The shape, or None where the mask is too small or too flat to have one.
    """
    voxels = np.argwhere(mask) + np.asarray(corner)
    if len(voxels) < LEAST_VOXELS:
        return None
    x, z, y = (voxels * spacing).mean(axis=0)
    contours = find_contours(mask, spacing, corner)
    band = max(BAND_MM, 1.01 * spacing[0])
    frame, pixel = make_frame(np.array([x, y, -z]), up, back), max(spacing[1], spacing[2])
    body = None
    for _ in range(ROUNDS):
        body = _fit_sides(frame, contours, band, pixel)
        if body is None:
            return None
        forward = (body.line(body.upper) + body.line(body.lower)) / 2
        left = (body.side(body.top) + body.side(body.bottom)) / 2
        frame = make_frame(frame.origin, np.cross(left, forward), back)
    return _fit_sides(frame, contours, band, pixel)


def _fit_sides(frame: Frame, contours: Contours, band: float, pixel: float) -> Body | None:
    local = frame.local(contours.points)
    inside = np.abs(local[:, 0]) <= band
    local, normals = local[inside], contours.normals[inside] @ frame.axes.T
    if len(local) < LEAST_VOXELS / 2:
        return None
    u, v, w = local.T
    low_v, high_v = np.percentile(v, (1, 99))
    low_w, high_w = np.percentile(w, (1, 99))
    a, b = (
        2 * (values - (low + high) / 2) / max(high - low, 1e-6)
        for values, low, high in ((v, low_v, high_v), (w, low_w, high_w))
    )
    near = np.abs(u) <= max(WALL_BAND_MM, np.abs(u).min() + 1e-6)
    flat = np.abs(normals[:, 2]) > np.abs(normals[:, 1])  # an endplate's, not a wall's
    sides = {
        "top": (v, w, flat & (normals[:, 2] > 0) & (b > INNER)),
        "bottom": (v, w, flat & (normals[:, 2] < 0) & (b < -INNER)),
        "front": (w, v, ~flat & (normals[:, 1] < 0) & (a < -INNER) & near),
        "back": (w, v, ~flat & (normals[:, 1] > 0) & (a > INNER) & near),
    }
    curves = {name: fit_curve(t[part], u[part], h[part], pixel) for name, (t, h, part) in sides.items()}
    top, bottom, front, back = curves["top"], curves["bottom"], curves["front"], curves["back"]
    if top is None or bottom is None or front is None or back is None:
        return None
    span_v, span_w = (low_v, high_v), (low_w, high_w)
    lines = {
        "top": touching_line(top, span_v, 1),
        "bottom": touching_line(bottom, span_v, -1),
        "front": touching_line(front, span_w, -1),
        "back": touching_line(back, span_w, 1),
    }
    plates = {
        name: Plate(
            _meet(lines[name], lines["front"]),
            _meet(lines[name], lines["back"]),
            (curve.deviation(lines[name][0][0]), curve.deviation(sum(span_v) / 2), curve.deviation(lines[name][1][0])),
        )
        for name, curve in (("top", top), ("bottom", bottom))
    }
    return Body(frame, top, bottom, plates["top"], plates["bottom"])


def touching_line(curve: Curve, span: Point, sign: float) -> tuple[Point, Point]:
    """Return where the line that touches a side from outside does so, in its first and in its last third."""
    low, high = span
    inset, third = (1 - EDGE) / 2 * (high - low), (high - low) / 3
    first = np.linspace(max(low + inset, curve.low), low + third, SAMPLES)
    last = np.linspace(high - third, min(high - inset, curve.high), SAMPLES)
    heights = [curve.at(t) for t in (first, last)]
    slope, ends = 0.0, (0, 0)
    for _ in range(ROUNDS):
        ends = (
            int(np.argmax(sign * (heights[0] - slope * first))),
            int(np.argmax(sign * (heights[1] - slope * last))),
        )
        slope = (heights[1][ends[1]] - heights[0][ends[0]]) / (last[ends[1]] - first[ends[0]])
    i, j = ends
    return (float(first[i]), float(heights[0][i])), (float(last[j]), float(heights[1][j]))


def _meet(plate: tuple[Point, Point], wall: tuple[Point, Point]) -> Point:
    """Return (v, w) where an endplate's line w(v) meets a wall's v(w)."""
    (v0, w0), (v1, w1) = plate
    slope = (w1 - w0) / (v1 - v0)
    (s0, r0), (s1, r1) = wall
    lean = (r1 - r0) / (s1 - s0)
    # v = r0 + lean (w - s0), w = w0 + slope (v - v0)
    v = (r0 + lean * (w0 - s0 - slope * v0)) / (1 - lean * slope)
    return float(v), float(w0 + slope * (v - v0))
