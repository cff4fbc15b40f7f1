"""The lines along the spine that all painters follow, as functions of world z."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autospine.phantom.shapes import spinous_tip
from autospine.phantom.spine import Spine, Vertebra

BEYOND = 60  # mm by which the lines go on past the outermost vertebrae
POSITIONS = 2  # the first columns of a line's points are positions, the others widths


@dataclass(frozen=True)
class Tube:
    """A tube that runs along z, sampled at every millimetre from the lowest to the highest z (mm)."""

    z: np.ndarray
    x: np.ndarray
    y: np.ndarray
    wide: np.ndarray  # half width to the sides
    deep: np.ndarray  # half width front to back, across the tube

    def at(self, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return centre x, y, half width, half depth and the cosine of the tilt at every z (float32)."""
        slope = np.gradient(self.y, self.z)
        cosine = 1 / np.sqrt(1 + slope * slope)
        columns = (self.x, self.y, self.wide, self.deep, cosine)
        return tuple(np.interp(z, self.z, column).astype(np.float32) for column in columns)


def _dense(points: list[tuple[float, ...]], smooth: float) -> tuple[np.ndarray, ...]:
    """Join points (z, ...), sample at every millimetre, carry on straight at both ends, and smooth."""
    from scipy.ndimage import gaussian_filter1d

    points.sort()
    knots = np.array([p for i, p in enumerate(points) if i == 0 or p[0] - points[i - 1][0] > 1])
    z = np.arange(knots[0, 0] - BEYOND, knots[-1, 0] + BEYOND)
    columns = []
    for column in range(1, knots.shape[1]):
        values = np.interp(z, knots[:, 0], knots[:, column])
        if column <= POSITIONS:
            for end, near in ((0, 1), (-1, -2)):
                steep = (knots[end, column] - knots[near, column]) / (knots[end, 0] - knots[near, 0])
                out = z < knots[0, 0] if end == 0 else z > knots[-1, 0]
                values = np.where(out, knots[end, column] + steep * (z - knots[end, 0]), values)
        columns.append(gaussian_filter1d(values, smooth, mode="nearest"))
    return z, *columns


@dataclass(frozen=True)
class Lines:
    """What runs along one spine."""

    canal: Tube
    bodies: Tube  # centres of the bodies; wide and deep are their half widths
    tips_z: np.ndarray
    tips_y: np.ndarray  # hindmost reach of the spinous processes

    def tips(self, z: np.ndarray) -> np.ndarray:
        """Return world y of the line over the spinous processes (float32)."""
        return np.interp(z, self.tips_z, self.tips_y).astype(np.float32)


def _canal_points(column: list[Vertebra]) -> list[tuple[float, ...]]:
    """Return (z, x, y, half width, half depth) behind every body's middle, and halfway between neighbours' edges."""
    points = [_canal_point(vertebra, 0.0) for vertebra in column]
    points += [0.5 * (_canal_point(low, 0.5) + _canal_point(up, -0.5)) for low, up in pairwise(column)]
    return [tuple(point) for point in points]


def _canal_point(vertebra: Vertebra, share: float) -> np.ndarray:
    v = vertebra.back + vertebra.canal_depth + 0.4
    x, y, z = vertebra.frame.world(0.0, v, share * vertebra.height)
    return np.array([z, x, y, vertebra.canal_width, vertebra.canal_depth])


def find_lines(spine: Spine) -> Lines:
    """Return the lines of a spine."""
    column = [*spine.sacrum[::-1], *spine.vertebrae]
    bodies = [(float(v.frame.origin[2]), *map(float, v.frame.origin[:2]), v.width / 2, v.depth / 2) for v in column]
    tips = [spinous_tip(v) for v in spine.vertebrae]
    tips += [s.frame.world(0, s.depth / 2 + out, -6) for s, out in ((spine.sacrum[0], 26), (spine.sacrum[2], 18))]
    tips_z, tips_y = _dense([(float(t[2]), float(t[1])) for t in tips], 2.0)
    return Lines(Tube(*_dense(_canal_points(column), 4.0)), Tube(*_dense(bodies, 4.0)), tips_z, tips_y)
