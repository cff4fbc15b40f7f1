"""The lines along the spine that everything else follows, as functions of world z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.shapes import spinous_tip
from autospine.phantom.spine import Spine, Vertebra

BEYOND = 60  # mm by which the lines go on past the outermost vertebrae
PLACES = 2  # the first columns of a line's points are places, the others widths


@dataclass(frozen=True)
class Tube:
    """A tube that runs along z, sampled at every millimetre from the lowest to the highest z (mm)."""

    z: np.ndarray
    x: np.ndarray
    y: np.ndarray
    wide: np.ndarray  # half width to the sides
    deep: np.ndarray  # half width front to back, across the tube

    def at(self, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """Middle x, y, half width, half depth, and the cosine of the tilt, at each z (float32)."""
        slope = np.gradient(self.y, self.z)
        cosine = 1 / np.sqrt(1 + slope * slope)
        found = (np.interp(z, self.z, c) for c in (self.x, self.y, self.wide, self.deep, cosine))
        return tuple(c.astype(np.float32) for c in found)


def _dense(points: list[tuple[float, ...]], smooth: float) -> tuple[np.ndarray, ...]:
    """Points (z, ...) joined, sampled at every millimetre, carried on straight at both ends, and smoothed."""
    from scipy.ndimage import gaussian_filter1d

    points.sort()
    knots = np.array([p for i, p in enumerate(points) if i == 0 or p[0] - points[i - 1][0] > 1])
    z = np.arange(knots[0, 0] - BEYOND, knots[-1, 0] + BEYOND)
    columns = []
    for column in range(1, knots.shape[1]):
        values = np.interp(z, knots[:, 0], knots[:, column])
        if column <= PLACES:
            for end, near in ((0, 1), (-1, -2)):
                steep = (knots[end, column] - knots[near, column]) / (knots[end, 0] - knots[near, 0])
                out = z < knots[0, 0] if end == 0 else z > knots[-1, 0]
                values = np.where(out, knots[end, column] + steep * (z - knots[end, 0]), values)
        columns.append(gaussian_filter1d(values, smooth, mode="nearest"))
    return z, *columns


@dataclass(frozen=True)
class Lines:
    """Everything that runs along one spine."""

    canal: Tube
    bodies: Tube  # middle of the bodies; wide and deep are their half widths
    tips_z: np.ndarray
    tips_y: np.ndarray  # hindmost reach of the spinous processes

    def tips(self, z: np.ndarray) -> np.ndarray:
        """World y of the line over the spinous processes (float32)."""
        return np.interp(z, self.tips_z, self.tips_y).astype(np.float32)


def _canal_points(chain: list[Vertebra]) -> list[tuple[float, ...]]:
    """Behind the middle of every body, and between neighbours halfway between their edges."""
    points: list[tuple[float, ...]] = []
    for lower, upper in zip(chain, [*chain[1:], None], strict=True):
        edges = [_behind(lower, 0.0)]
        if upper is not None:
            edges.append(0.5 * (_behind(lower, 0.5) + _behind(upper, -0.5)))
        for x, y, z, wide, deep in edges:
            points.append((z, x, y, wide, deep))
    return points


def _behind(vertebra: Vertebra, share: float) -> np.ndarray:
    v = vertebra.back + vertebra.canal_depth + 0.4
    place = vertebra.frame.world(0.0, v, share * vertebra.height)
    return np.array([*place, vertebra.canal_width, vertebra.canal_depth])


def find_lines(spine: Spine) -> Lines:
    """The lines of a spine."""
    chain = [*spine.sacrum[::-1], *spine.vertebrae]
    middles = [(float(v.frame.origin[2]), *map(float, v.frame.origin[:2]), v.width / 2, v.depth / 2) for v in chain]
    tips = [spinous_tip(v) for v in spine.vertebrae]
    tips += [s.frame.world(0, s.depth / 2 + out, -6) for s, out in ((spine.sacrum[0], 26), (spine.sacrum[2], 18))]
    tips_z, tips_y = _dense([(float(t[2]), float(t[1])) for t in tips], 2.0)
    return Lines(Tube(*_dense(_canal_points(chain), 4.0)), Tube(*_dense(middles, 4.0)), tips_z, tips_y)
