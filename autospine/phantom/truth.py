"""What the phantom knows of its own geometry: heights, angles, slips and diameters of the shapes, before voxels.

Each figure is read off the exact shapes in their own mid-sagittal planes, by the definitions of docs/measurement.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autospine.phantom.canal import canal_distance
from autospine.phantom.curves import Lines, find_lines
from autospine.phantom.shapes import body, disc_distance, disc_gap
from autospine.phantom.spine import Disc, Frame, Spine, Vertebra

STEP = 0.1  # mm between the points at which a shape is asked for
FINE, AREA_STEP = 0.02, 0.1  # the same across the canal, along its diameter and over its area
ROUNDS = 6  # of turning a line until it touches both rims
DISC_SHARES = (0.125, 0.5, 0.875)  # of a disc's depth: where its heights are
MIDDLE_MM = 2.0
TRUTH = (  # columns of truth.csv, named as those of autospine_measure
    "id", "level", "anterior_height_mm", "middle_height_mm", "posterior_height_mm", "depth_mm", "sagittal_tilt_deg",
    "coronal_tilt_deg", "segmental_lordosis_deg", "canal_diameter_mm", "canal_area_mm2", "disc_anterior_height_mm",
    "disc_middle_height_mm", "disc_posterior_height_mm", "disc_depth_mm", "disc_angle_deg", "slip_mm",
    "disc_canal_diameter_mm", "disc_canal_area_mm2",
)  # fmt: skip
UP = np.array([0.0, 0.0, 1.0])
Point = np.ndarray


@dataclass(frozen=True)
class Outline:
    """A shape cut by the plane u = 0 of its frame: the first and the last w inside at each v, and v at each w."""

    v: np.ndarray
    w: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    front: np.ndarray
    back: np.ndarray


@dataclass(frozen=True)
class Corners:
    """The four corners of a body in world mm, (3,) each, and its middle height in mm."""

    top_front: Point
    top_back: Point
    bottom_front: Point
    bottom_back: Point
    middle_height: float


def outline(distance: Callable[[np.ndarray, np.ndarray], np.ndarray], reach: tuple[float, float]) -> Outline:
    """Cut a shape, given as a signed distance of v and w, that lies within the reach (v, w) in mm."""
    v, w = (np.arange(-r, r + STEP / 2, STEP) for r in reach)
    field = distance(v[:, None], w[None, :])
    return Outline(v, w, *_ends(field, w), *_ends(field.T, v))


def _ends(field: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row of a signed distance first and last crosses zero, NaN where it is never inside."""
    inside, rows = field < 0, np.arange(len(field))
    any_inside = inside.any(axis=1)
    first = np.clip(inside.argmax(axis=1), 1, None)
    last = np.clip(field.shape[1] - 1 - inside[:, ::-1].argmax(axis=1), None, field.shape[1] - 2)
    step = along[1] - along[0]
    low = along[first] - step * field[rows, first] / (field[rows, first] - field[rows, first - 1])
    high = along[last] + step * field[rows, last] / (field[rows, last] - field[rows, last + 1])
    return np.where(any_inside, low, np.nan), np.where(any_inside, high, np.nan)


def _touching(along: np.ndarray, height: np.ndarray, sign: float) -> tuple[Point, Point]:
    """Return the two points, in the first and the last third, of the line that touches a side from outside."""
    known = ~np.isnan(height)
    t, h = along[known], sign * height[known]
    thirds = (t <= t[0] + (t[-1] - t[0]) / 3, t >= t[-1] - (t[-1] - t[0]) / 3)
    slope, ends = 0.0, [0, 0]
    for _ in range(ROUNDS):
        ends = [int(np.argmax(np.where(third, h - slope * t, -np.inf))) for third in thirds]
        slope = (h[ends[1]] - h[ends[0]]) / (t[ends[1]] - t[ends[0]])
    first, last = (np.array([t[end], sign * h[end]]) for end in ends)
    return first, last


def _meet(plate: tuple[Point, Point], wall: tuple[Point, Point]) -> Point:
    """Return (v, w) where a line through points (v, w) meets one through points (w, v)."""
    (a, b), (c, d) = plate, (wall[0][::-1], wall[1][::-1])
    share = np.linalg.solve(np.column_stack([b - a, c - d]), c - a)[0]
    return a + share * (b - a)


def body_corners(vertebra: Vertebra) -> Corners:
    """Return a body's corners: where the lines that touch its endplates' rims meet those that touch its walls'."""
    zero = np.zeros((1, 1))
    reach = (0.5 * vertebra.depth + 6, 0.5 * vertebra.height + 6)
    cut = outline(lambda v, w: body(vertebra, (zero, v, w)), reach)
    plates = [_touching(cut.v, side, sign) for side, sign in ((cut.top, 1.0), (cut.bottom, -1.0))]
    walls = [_touching(cut.w, side, sign) for side, sign in ((cut.front, -1.0), (cut.back, 1.0))]
    local = [_meet(plate, wall) for plate in plates for wall in walls]
    middle = np.mean(local, axis=0)[0]
    near = np.abs(cut.v - middle) <= MIDDLE_MM
    height = float((cut.top - cut.bottom)[near].mean())
    top_front, top_back, bottom_front, bottom_back = (vertebra.frame.world(0, *point) for point in local)
    return Corners(top_front, top_back, bottom_front, bottom_back, height)


def _tilt(front: Point, back: Point, left: Point, axis: Point = UP) -> float:
    """Return the degrees by which a line rises to the back, seen along `left`."""
    left = left / np.linalg.norm(left)
    up = axis - (axis @ left) * left
    up /= np.linalg.norm(up)
    line = back - front
    return float(np.degrees(np.arctan2(line @ up, line @ np.cross(up, left))))


def _local(frame: Frame, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, v, w = np.moveaxis((points - frame.origin) @ frame.axes.T, -1, 0)
    return u, v, w


def _at(disc: Disc, below: Vertebra, above: Vertebra, points: np.ndarray) -> np.ndarray:
    """Return the distance to a disc at world points (..., 3)."""
    gap = disc_gap(below, above, _local(below.frame, points), _local(above.frame, points))
    return disc_distance(disc, _local(disc.frame, points), gap)


def disc_heights(disc: Disc, below: Vertebra, above: Vertebra) -> tuple[float, float, float, float]:
    """Return a disc's heights near its front, in its middle and near its back, and its depth, in mm."""

    def distance(v: np.ndarray, w: np.ndarray) -> np.ndarray:
        v, w = np.broadcast_arrays(v, w)
        points = disc.frame.origin + np.stack([0 * v, v, w], axis=-1) @ disc.frame.axes
        return _at(disc, below, above, points)

    cut = outline(distance, (0.5 * disc.depth + 8, 0.5 * disc.height + 9))
    known = np.flatnonzero(~np.isnan(cut.top))
    first, last = cut.front[~np.isnan(cut.front)].min(), cut.back[~np.isnan(cut.back)].max()
    places = first + np.array(DISC_SHARES) * (last - first)
    front, middle, back = np.interp(places, cut.v[known], (cut.top - cut.bottom)[known])
    return float(front), float(middle), float(back), float(last - first)


def canal_figures(lines: Lines, z: float, disc: tuple[Disc, Vertebra, Vertebra] | None) -> tuple[float, float]:
    """Return the canal's mid-sagittal diameter (mm) and area (mm2) across its axis, at the axis's height z."""
    x0, y0, wide, deep, _ = (float(c[0]) for c in lines.canal.at(np.array([z])))
    (x1, y1, *_), (x2, y2, *_) = (lines.canal.at(np.array([z + d])) for d in (-0.5, 0.5))
    axis = np.array([float(x2[0] - x1[0]), float(y2[0] - y1[0]), 1.0])
    axis /= np.linalg.norm(axis)
    back = np.array([0, 1.0, 0]) - axis[1] * axis
    back /= np.linalg.norm(back)
    left = np.cross(back, axis)
    origin = np.array([x0, y0, z])

    def inside(points: np.ndarray) -> np.ndarray:
        x, y, heights = np.moveaxis(points, -1, 0)
        column = lines.canal.at(heights)
        free = canal_distance(x - column[0], (y - column[1]) * column[4], column[2], column[3]) < 0
        return free if disc is None else free & (_at(*disc, points) >= 0)

    line = origin + np.arange(-deep - 6, deep + 6, FINE)[:, None] * back
    a, n = (np.arange(-r, r, AREA_STEP) for r in (wide + 3, deep + 6))
    plane = origin + a[:, None, None] * left + n[None, :, None] * back
    return float(inside(line).sum() * FINE), float(inside(plane).sum() * AREA_STEP**2)


def truth_rows(
    id_: str, spine: Spine, vertebrae: tuple[int, ...], discs: tuple[int, ...], up: np.ndarray = UP
) -> Iterator[dict[str, str]]:
    """Return the figures of the labelled levels of a case, as rows under the columns `TRUTH`.

    Args:
        id_: The case.
        spine: What was drawn.
        vertebrae: The labelled ones.
        discs: The labelled ones, by the vertebra above.
        up: The scanner's axis in the spine's world, (3,).
    """
    lines, column = find_lines(spine), (spine.sacrum[0], *spine.vertebrae)
    corners = {vertebra.level: body_corners(vertebra) for vertebra in column}
    for disc, (below, above) in zip(spine.discs, pairwise(column), strict=False):
        figures: dict[str, float] = {}
        both = (corners[below.level], corners[above.level])
        if above.level in vertebrae:
            figures |= _vertebra_figures(above, both[1], lines, up)
        if {above.level, below.level} <= set(vertebrae):
            figures |= _neighbour_figures(below, above, both)
        if disc.level in discs:
            figures |= _disc_figures(disc, below, above, lines)
        if figures:
            yield {"id": id_, "level": str(above.level)} | {name: f"{value:.4f}" for name, value in figures.items()}


def _vertebra_figures(vertebra: Vertebra, corners: Corners, lines: Lines, up: np.ndarray) -> dict[str, float]:
    left = vertebra.frame.axes[0]
    diameter, area = canal_figures(lines, _axis_height(lines, vertebra.frame), None)
    ends = ((corners.top_front, corners.top_back), (corners.bottom_front, corners.bottom_back))
    return {
        "anterior_height_mm": float(np.linalg.norm(corners.top_front - corners.bottom_front)),
        "middle_height_mm": corners.middle_height,
        "posterior_height_mm": float(np.linalg.norm(corners.top_back - corners.bottom_back)),
        "depth_mm": float(np.mean([np.linalg.norm(back - front) for front, back in ends])),
        "sagittal_tilt_deg": float(np.mean([_tilt(front, back, left, up) for front, back in ends])),
        "coronal_tilt_deg": float(np.degrees(np.arcsin(left @ up))),
        "canal_diameter_mm": diameter,
        "canal_area_mm2": area,
    }


def _neighbour_figures(below: Vertebra, above: Vertebra, corners: tuple[Corners, Corners]) -> dict[str, float]:
    lower, upper = corners
    left = below.frame.axes[0] + above.frame.axes[0]
    tilt, plate = _tilt(lower.top_front, lower.top_back, left), lower.top_back - lower.top_front
    return {
        "segmental_lordosis_deg": tilt - _tilt(upper.top_front, upper.top_back, left),
        "disc_angle_deg": tilt - _tilt(upper.bottom_front, upper.bottom_back, left),
        "slip_mm": float((lower.top_back - upper.bottom_back) @ plate / np.linalg.norm(plate)),
    }


def _disc_figures(disc: Disc, below: Vertebra, above: Vertebra, lines: Lines) -> dict[str, float]:
    front, middle, back, depth = disc_heights(disc, below, above)
    diameter, area = canal_figures(lines, _axis_height(lines, disc.frame), (disc, below, above))
    return {
        "disc_anterior_height_mm": front,
        "disc_middle_height_mm": middle,
        "disc_posterior_height_mm": back,
        "disc_depth_mm": depth,
        "disc_canal_diameter_mm": diameter,
        "disc_canal_area_mm2": area,
    }


def _axis_height(lines: Lines, frame: Frame) -> float:
    """Return world z of the point of the canal's axis that lies nearest to the plane w = 0 of a frame."""
    axis = np.column_stack([lines.canal.x, lines.canal.y, lines.canal.z])
    near = np.linalg.norm(axis - frame.origin, axis=1) < 60
    return float(lines.canal.z[near][np.argmin(np.abs(_local(frame, axis[near])[2]))])
