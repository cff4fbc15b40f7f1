"""The grid that a technician would choose for a spine, and where it lies in the scanner."""

from __future__ import annotations

import numpy as np

from autospine.phantom.canvas import Axes
from autospine.phantom.curves import Lines
from autospine.phantom.series import Size
from autospine.phantom.shapes import highest
from autospine.phantom.spine import Spine
from autospine.volumes.geometry import Geometry, triple

IN_FRONT = 10.0  # mm before the bodies that a varied grid shows at least
# File axes (i, j, k) by canonical axis (slices, rows, columns) and whether they run against it.
AXIS_ORDERS: dict[str, tuple[tuple[int, bool], ...]] = {
    "LPS": ((0, False), (2, False), (1, True)),
    "PIR": ((2, False), (1, False), (0, True)),
}


def choose_grid(
    rng: np.random.Generator, spine: Spine, lines: Lines, size: Size, isotropic: bool, varied: bool = False
) -> tuple[Axes, int]:
    """Choose a grid, and into how many thin slices each of its slices is cut for painting.

    The upper edge cuts a vertebra somewhere, so that the one below it is the last whole one. A varied grid may end in
    the lowest vertebra or below the coccyx, and hold little beside the column.
    """
    small = size is Size.SMALL
    levels = int(
        rng.choice([5, 6, 7], p=[0.3, 0.5, 0.2]) if small else rng.choice([6, 7, 8, 9], p=[0.31, 0.42, 0.22, 0.05])
    )
    if varied:
        levels = int(rng.integers(4, 8 if small else 10))
    crossed = spine.vertebrae[levels]
    share = float(rng.uniform(0.3, 0.85)) - 0.5
    top = max(float(crossed.frame.world(0, 0, crossed.height * share)[2]), highest(spine.vertebrae[levels - 1]) + 1)
    bottom = float(spine.sacrum[1].frame.origin[2]) - float(rng.uniform(5, 25 if small else 55))
    if varied:
        bottom = _varied_bottom(rng, spine)
    pixel = 1.6 if small else float(rng.choice([0.625, 0.6875, 0.75, 0.8125, 0.875]))
    gap = float(
        rng.choice([4.4, 4.8, 5.0] if small else [3.3, 4.0, 4.4, 4.8], p=None if small else [0.5, 0.1, 0.2, 0.2])
    )
    span = float(rng.uniform(60, 66) if small else rng.uniform(62, 74))
    if isotropic:
        gap, span = (2.0, 56.0) if small else (float(rng.choice([0.9, 1.0, 1.2])), 66.0)
    z = np.arange(top, bottom, -pixel, dtype=np.float32)
    inside = (lines.bodies.z > bottom) & (lines.bodies.z < top)
    middle_x = float(lines.bodies.x[inside].mean() + rng.normal(0, 1.2))
    count = max(12, round(span / gap)) if small else round(span / gap)
    x = (middle_x + (np.arange(count) - (count - 1) / 2) * gap).astype(np.float32)
    back = float(lines.tips(z).max()) + float(rng.uniform(18, 50))
    depth = (top - bottom) * float(rng.uniform(0.68, 0.8) if small else rng.uniform(0.75, 1.0))
    if varied:
        _, body_y, _, deep, _ = lines.bodies.at(z)
        depth = max(depth * float(rng.uniform(0.55, 1.1)), back - float((body_y - deep).min()) + IN_FRONT)
    y = (back - depth + np.arange(round(depth / pixel)) * pixel).astype(np.float32)
    times = 1 if isotropic else (3 if small or gap < 3.6 else 5)
    return Axes(x, z, y), times


def _varied_bottom(rng: np.random.Generator, spine: Spine) -> float:
    """Choose the lower edge (world z): below the coccyx, in the sacrum, or now and then in the lowest vertebra."""
    lowest = float((spine.coccyx or spine.sacrum)[-1].frame.origin[2])
    first = float(spine.sacrum[0].frame.origin[2])
    within = float(rng.uniform(float(spine.sacrum[3].frame.origin[2]), first))
    cut = float(spine.vertebrae[0].frame.origin[2]) - 0.3 * spine.vertebrae[0].height
    return float((lowest - rng.uniform(8, 40), within, cut)[int(rng.choice(3, p=[0.45, 0.47, 0.08]))])


def spine_columns(axes: Axes, lines: Lines) -> slice:
    """Return the columns that hold the spine: from before the bodies to behind the spinous processes."""
    _, y, _, deep, _ = lines.bodies.at(axes.z)
    low = float((y - deep).min()) - 10
    high = max(float(lines.tips(axes.z).max()), float(lines.canal.at(axes.z)[1].max()) + 25) + 10
    first, last = np.searchsorted(axes.y, [low, high])
    return slice(int(first), int(last))


def sample_geometry(rng: np.random.Generator, axes: Axes, orientation: str) -> Geometry:
    """Sample where a grid lies in the scanner, with its file's axes in the given order ("LPS" or "PIR")."""
    rotation, shift = _sample_rotation(rng), rng.normal(0, [8, 15, 40])
    steps = rotation @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # (3, 3); columns: slices, rows, columns
    spacing, shape = axes.spacing, axes.shape
    origin = rotation @ np.array([axes.x[0], axes.y[0], axes.z[0]], dtype=float) + shift
    order = AXIS_ORDERS[orientation]
    for axis, against in order:
        if against:
            origin = origin + steps[:, axis] * spacing[axis] * (shape[axis] - 1)
    direction = np.stack([-steps[:, axis] if against else steps[:, axis] for axis, against in order], axis=1)
    i, j, k = (axis for axis, _ in order)
    return Geometry(
        (shape[i], shape[j], shape[k]),
        triple(round(spacing[axis], 5) for axis in (i, j, k)),
        triple(round(float(c), 4) for c in origin),
        tuple(float(c) for c in direction.reshape(-1)),
    )


def _sample_rotation(rng: np.random.Generator) -> np.ndarray:
    """Sample a slight rotation (3, 3), for the third of the scans whose slices follow a crooked patient."""
    angles = np.deg2rad(rng.normal(0, 3.5, 3).clip(-9, 9)) if rng.random() < 0.35 else np.zeros(3)
    (a, b, c), (d, e, f) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    about_z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z
