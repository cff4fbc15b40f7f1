"""The soft tissue around the spine: fat, muscle, vessels, bowel, skin, air; nothing of it is labelled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.canvas import WHOLE, Box, Canvas, lattice_noise
from autospine.phantom.curves import Lines
from autospine.phantom.shapes import ellipsoid
from autospine.phantom.spine import Point, Spine
from autospine.phantom.tissue import Contrast
from autospine.volumes.geometry import triple


@dataclass(frozen=True)
class Habitus:
    """How a patient is built (mm)."""

    back_fat: float
    low_back_fat: float  # more over the sacrum
    belly: float  # from the bodies' front to the front skin
    belly_fat: float
    infiltration: float  # share of fat in the muscles of the back
    loops: int
    bladder: float  # radius, 0: not in view
    aorta: float  # radius


def sample_habitus(rng: np.random.Generator, spine: Spine) -> Habitus:
    """Sample a build."""
    weight = float(rng.beta(2, 2.4))
    return Habitus(
        back_fat=4 + 26 * weight * float(rng.uniform(0.6, 1.2)),
        low_back_fat=float(rng.uniform(4, 22)),
        belly=75 + 95 * weight,
        belly_fat=7 + 30 * weight * (0.8 if spine.male else 1.1),
        infiltration=float(np.clip((spine.age - 30) / 110 + rng.normal(0, 0.1), 0.02, 0.6)),
        loops=int(rng.integers(140, 220)),
        bladder=float(rng.uniform(18, 34)),
        aorta=float(rng.uniform(7.5, 10.5)),
    )


@dataclass(frozen=True)
class Layers:
    """Depths of the layers for every slice and row (mm in y; broadcastable to the grid)."""

    skin: np.ndarray  # skin of the back
    fascia: np.ndarray  # hind edge of the back's muscles
    front: np.ndarray  # front skin
    wall: np.ndarray  # hind edge of the belly's wall
    ventral: np.ndarray  # front of the bodies
    side: np.ndarray  # mm left of the spine's middle


def find_layers(lines: Lines, habitus: Habitus, x: np.ndarray, z: np.ndarray) -> Layers:
    """Return where the layers lie, for world x of shape (slices, 1, 1) and world z of shape (1, rows, 1)."""
    from scipy.ndimage import gaussian_filter1d

    rows = z[0, :, 0]
    step = float(rows[0] - rows[1])
    middle, body_y, _, deep, _ = (c[None, :, None] for c in lines.bodies.at(rows))
    tips = gaussian_filter1d(lines.tips(rows), 10 / step, mode="nearest")
    skin = np.maximum(tips, gaussian_filter1d(tips, 35 / step, mode="nearest"))
    low = habitus.low_back_fat / (1 + np.exp((rows - 10) / 25))
    skin = skin + 2 + habitus.back_fat + low
    side = x - middle
    furrow = 1 - np.exp(-((side / 18.0) ** 2))
    fascia = tips[None, :, None] + 1.5 + 7 * furrow * (1 - 0.7 / (1 + np.exp(rows / 12)))[None, :, None]
    ventral = body_y - deep
    lean = gaussian_filter1d(ventral[0, :, 0], 40 / step, mode="nearest")
    sag = 12 * np.exp(-(((rows - 40) / 80) ** 2))
    front = (lean - habitus.belly - sag)[None, :, None] + 0.004 * side * side
    return Layers(
        skin=skin[None, :, None] + 4 * furrow - 0.004 * side * side,
        fascia=fascia,
        front=front,
        wall=front + habitus.belly_fat + 10,
        ventral=ventral,
        side=side,
    )


def paint_background(
    canvas: Canvas, spine: Spine, lines: Lines, habitus: Habitus, contrast: Contrast, rng: np.random.Generator
) -> None:
    """Paint everything but the spine over the whole grid."""
    axes = canvas.axes
    x, y, z = axes.points(WHOLE)
    layers = find_layers(lines, habitus, x, z)
    fine = lattice_noise(rng, axes, (12, 5, 3))
    septa = np.exp(-((lattice_noise(rng, axes, (25, 22, 7)) / 0.09) ** 2))
    outside = np.maximum(y - layers.skin, layers.front - y)
    canvas.paint(WHOLE, outside, contrast.skin)
    canvas.paint(WHOLE, outside + 2.2, contrast.fat * (1 + 0.04 * fine - 0.25 * septa))
    wall = np.maximum(layers.front + habitus.belly_fat - y, y - layers.wall)
    canvas.paint(WHOLE, wall, contrast.muscle * (1 + 0.1 * fine))
    _paint_belly(canvas, layers, habitus, contrast, rng, fine)
    _paint_vessels(canvas, layers, habitus, contrast)
    _paint_muscles(canvas, layers, lines, habitus, contrast, rng, fine)


def _ellipsoid_box(canvas: Canvas, centre: Point, radii: Point, margin: float) -> Box | None:
    low, high = np.subtract(centre, radii) - margin, np.add(centre, radii) + margin
    return canvas.axes.box(low, high)


def _paint_belly(
    canvas: Canvas, layers: Layers, habitus: Habitus, contrast: Contrast, rng: np.random.Generator, fine: np.ndarray
) -> None:
    axes = canvas.axes
    rows = axes.z
    rough = 2.4 * lattice_noise(rng, axes, (25, 11, 11))
    for _ in range(habitus.loops):
        row = int(rng.integers(0, len(rows)))
        front, back = float(layers.wall[0, row, 0]), float(layers.ventral[0, row, 0]) - 8
        size = float(rng.uniform(6, 17))
        centre = (
            float(rng.uniform(axes.x[0] - 10, axes.x[-1] + 10)),
            float(rng.uniform(front + size, max(front + size + 1, back - size))),
            float(rows[row]),
        )
        radii = triple(size * float(rng.uniform(0.75, 1.7)) for _ in range(3))
        kinds = (contrast.stool, contrast.gas, contrast.fluid * 0.6, contrast.wall * 1.3)
        inside = kinds[int(rng.choice(4, p=[0.42, 0.14, 0.09, 0.35]))] * float(rng.uniform(0.75, 1.2))
        box = _ellipsoid_box(canvas, centre, radii, 8)
        if box is None:
            continue
        distance = ellipsoid(axes.points(box), centre, radii) + rough[box]
        y = axes.points(box)[1]
        shut = np.maximum(layers.wall[box[:2]] + 3 - y, y - layers.ventral[:, box[1]] + 6)
        distance = np.maximum(distance, shut)
        canvas.paint(box, distance, contrast.wall, soft=1.5)
        canvas.paint(box, distance + 2.0, inside * (1 + 0.12 * fine[box]), soft=2)
    _paint_bladder(canvas, layers, habitus, contrast)


def _paint_bladder(canvas: Canvas, layers: Layers, habitus: Habitus, contrast: Contrast) -> None:
    axes, r = canvas.axes, habitus.bladder
    y = 0.5 * float(layers.wall.min() + layers.ventral[0, -1, 0])
    centre, radii = (0.0, y, -95.0), (1.3 * r, 1.4 * r, r)
    box = _ellipsoid_box(canvas, centre, radii, 4)
    if box is not None:
        distance = ellipsoid(axes.points(box), centre, radii)
        canvas.paint(box, distance - 3, contrast.wall)
        canvas.paint(box, distance, contrast.fluid)


def _paint_vessels(canvas: Canvas, layers: Layers, habitus: Habitus, contrast: Contrast) -> None:
    """Paint the aorta to the left and the vena cava to the right of the bodies' front; they fork before L4."""
    axes = canvas.axes
    z = axes.z[None, :, None]
    fork = 55.0
    below = np.maximum(fork - z, 0)
    for side, off, radius in ((1, 13.0, habitus.aorta), (-1, 17.0, habitus.aorta * 1.1)):
        r = radius * (0.62 + 0.38 / (1 + np.exp((fork - z) / 5)))
        middle_x = side * (off + 0.45 * below) - layers.side
        middle_y = layers.ventral - 0.8 * r - 2 + 0.05 * below
        low, high = float(middle_y.min() - radius - 3), float(middle_y.max() + radius + 3)
        box = axes.box((-1e3, low, -45), (1e3, high, 1e3))
        if box is None:
            continue
        y = axes.points(box)[1]
        rows = box[1]
        distance = np.hypot(middle_x[:, rows], y - middle_y[:, rows]) - r[:, rows]
        canvas.paint(box, distance - 1.4, contrast.wall)
        canvas.paint(box, distance, contrast.flow)


def _paint_muscles(
    canvas: Canvas, layers: Layers, lines: Lines, habitus: Habitus, contrast: Contrast,
    rng: np.random.Generator, fine: np.ndarray,
) -> None:  # fmt: skip
    axes = canvas.axes
    rows = axes.z
    _, canal_y, wide, deep, _ = (c[None, :, None] for c in lines.canal.at(rows))
    _, body_y, body_wide, _, _ = (c[None, :, None] for c in lines.bodies.at(rows))
    z, side = rows[None, :, None], np.abs(layers.side)
    # Psoas: thin at the upper lumbar vertebrae, thick at the lowest, then forward and outward.
    size = (5 + 16 / (1 + np.exp((z - 100) / 28))) * np.sqrt(np.clip((150 - z) / 60, 1e-4, 1))
    out = body_wide + size - 3 + 0.25 * np.maximum(-z, 0)
    across = (side - out) / size
    low, high = axes.y[0], float(canal_y.max())
    box = axes.box((-1e3, low, -80), (1e3, high, 150))
    if box is not None:
        y = axes.points(box)[1]
        along = (y - body_y + 0.35 * np.minimum(z, 0))[:, box[1]] / (1.2 * size[:, box[1]])
        distance = (np.sqrt(across[:, box[1]] ** 2 + along * along) - 1) * size[:, box[1]]
        canvas.paint(box, distance, contrast.muscle * (1 + 0.12 * fine[box]), soft=1.5)
    box = axes.box((-1e3, float(canal_y.min()), -1e3), (1e3, float(layers.fascia.max()), 1e3))
    if box is None:
        return
    y = axes.points(box)[1]
    start = canal_y + deep + 3 - 0.25 * np.maximum(side - wide, 0)
    behind = np.maximum(start[:, box[1]] - y, y - layers.fascia[:, box[1]])
    low_end = -30 - 0.8 * side + 0 * z  # multifidus ends on the sacrum
    behind = np.maximum(np.maximum(behind, 3.2 - side), (low_end - z)[:, box[1]])
    sub = axes.refine(1, box[2])
    streaks = lattice_noise(rng, sub, (10, 45, 3))[:, box[1]] + 0.7 * lattice_noise(rng, sub, (8, 14, 2))[:, box[1]]
    deep_in = np.clip((y - start[:, box[1]]) / 30, 0, 1)  # fat gathers deep and low
    amount = habitus.infiltration * (1.5 - deep_in)
    fat = np.clip((streaks - 1.9 + 2.6 * amount) / 1.2, 0, 1)
    value = contrast.muscle * (1 + 0.12 * fine[box]) + fat * (contrast.fat * 0.85 - contrast.muscle)
    canvas.paint(box, behind, value, soft=1.5)
