"""Paint what lies beside the labelled vertebrae and looks like them: sacrum, ribs, nerves, ligaments."""

from __future__ import annotations

import numpy as np

from autospine.phantom.canvas import JOINT, Box, Scene, lattice_noise
from autospine.phantom.curves import Lines
from autospine.phantom.shapes import blend, body, rod
from autospine.phantom.spine import Spine, Vertebra


def sacral_distance(scene: Scene, segment: Vertebra) -> tuple[Box, np.ndarray] | None:
    """Return a box and the distance to a segment of the sacrum: a body, its wings and a crest behind the canal."""
    arch = segment.back + 2 * segment.canal_depth
    wing = (1.2 * segment.width, arch + 16, 0.75 * segment.height)
    box = scene.canvas.axes.frame_box(segment.frame, (-wing[0], -segment.depth, -wing[2] - 3), wing)
    if box is None:
        return None
    p = scene.canvas.axes.local(box, segment.frame)
    shell = body(segment, p)
    tall = segment.height
    for side in (-1.0, 1.0):
        start, end = (side * 0.5 * segment.width, 5.0, -1.0), (side * 0.98 * segment.width, 12.0, -3.0)
        shell = blend(shell, rod(p, start, end, (6, 0.40 * segment.depth + 2, 0.60 * tall)))
        side_wall = (side * (segment.canal_width + 4), arch - 3.0, 0.0)
        shell = blend(shell, rod(p, side_wall, (0, arch + 4.0, -1.0), (4, 3.0, 0.42 * tall)))
    shell = blend(shell, rod(p, (0, arch + 4, -1), (0, arch + 8, -4), (3, 4, 0.3 * tall)))
    return box, np.maximum(shell, 0.3 - scene.canal[box])


def paint_coccyx(scene: Scene, spine: Spine) -> None:
    """Paint the coccyx, which has no label."""
    contrast = scene.contrast
    for segment in spine.coccyx:
        half = (segment.width / 2 + 3, segment.depth / 2 + 3, segment.height / 2 + 3)
        box = scene.canvas.axes.frame_box(segment.frame, tuple(-c for c in half), half)
        if box is not None:
            shell = body(segment, scene.canvas.axes.local(box, segment.frame))
            scene.canvas.paint(box, shell, contrast.cortex)
            scene.canvas.paint(box, shell + 1.0, contrast.fatty_marrow * (1 + 0.09 * scene.texture[box]), soft=1.3)


def paint_sacrum(scene: Scene, spine: Spine) -> None:
    """Paint the sacrum, label it if masks do: first every segment's cortex, then marrow, so that wings are fused."""
    contrast = scene.contrast
    fatty = np.clip((spine.age - 10) / 70, 0, 1)
    marrow = contrast.marrow + fatty * (contrast.fatty_marrow - contrast.marrow)
    segments = [s for s in (sacral_distance(scene, segment) for segment in spine.sacrum) if s is not None]
    for box, shell in segments:
        scene.canvas.paint(box, shell, contrast.cortex)
    for box, shell in segments:
        scene.canvas.paint(box, shell + 1.0, marrow * (1 + 0.09 * scene.texture[box]), soft=1.3)
        scene.bone[box] = np.minimum(scene.bone[box], shell)
        if scene.integers.sacrum:
            scene.labels[box][shell < 0] = scene.integers.sacrum


def paint_rib(scene: Scene, vertebra: Vertebra) -> None:
    """Paint the heads of a thoracic vertebra's ribs, unlabelled."""
    contrast = scene.contrast
    for side in (-1.0, 1.0):
        start = (side * (vertebra.width / 2 + 3), vertebra.back - 3, 0.3 * vertebra.height)
        end = (side * (vertebra.width / 2 + 45), vertebra.back + 24, -0.1 * vertebra.height)
        box = scene.canvas.axes.rod_box(vertebra.frame, start, end, 8)
        if box is None:
            continue
        rib = rod(scene.canvas.axes.local(box, vertebra.frame), start, end, (5, 4, 5.5))
        rib = np.maximum(rib, JOINT - scene.bone[box])
        scene.canvas.paint(box, rib, contrast.cortex)
        scene.canvas.paint(box, rib + 1.2, contrast.marrow, soft=1.3)


def paint_roots(scene: Scene, vertebra: Vertebra) -> None:
    """Paint the pair of nerves that leaves below a vertebra's pedicles, in the fat of its foramina."""
    v = vertebra.back + vertebra.canal_depth
    for side in (-1.0, 1.0):
        start = (side * (vertebra.canal_width - 2), v - 1, -0.05 * vertebra.height)
        end = (side * (vertebra.canal_width + 20), v - 10, -0.75 * vertebra.height)
        box = scene.canvas.axes.rod_box(vertebra.frame, start, end, 5)
        if box is None:
            continue
        p = scene.canvas.axes.local(box, vertebra.frame)
        halo = rod(p, start, end, (6, 6, 7))
        scene.canvas.paint(box, halo, scene.contrast.fat * 0.92, soft=2)
        scene.canvas.paint(box, rod(p, start, end, (2.4, 2.4, 2.8)), scene.contrast.root)


def paint_between_spines(scene: Scene, lines: Lines, rng: np.random.Generator) -> None:
    """Paint ligaments and fat between the spinous processes, and the dark band over their tips."""
    axes = scene.canvas.axes
    tips = lines.tips(axes.z)[None, :, None]
    x0, y0, _, deep, _ = (c[None, :, None] for c in lines.canal.at(axes.z))
    low, high = float((y0 + deep).min()), float(tips.max()) + 5
    box = axes.box((float(x0.min()) - 6, low, -1e3), (float(x0.max()) + 6, high, 1e3))
    if box is None:
        return
    x, y, z = axes.points(box)
    sheet = np.maximum(np.abs(x - x0) - 3.4, np.maximum(y0 + deep + 3 - y, y - tips - 1))
    streaks = np.clip(0.45 + 0.35 * lattice_noise(rng, axes, (20, 6, 12))[box], 0, 1)
    value = scene.contrast.ligament + streaks * (0.75 * scene.contrast.fat - scene.contrast.ligament)
    scene.canvas.paint(box, sheet, value, soft=1.5)
    band = np.maximum(np.abs(x - x0) - 4, np.abs(y - tips - 1.0) - 1.2) + 0 * z
    scene.canvas.paint(box, np.maximum(band, -20 - z), scene.contrast.ligament)
