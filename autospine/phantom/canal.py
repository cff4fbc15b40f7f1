"""Paint the spinal canal: fat, dural sac, cord and roots."""

from __future__ import annotations

import numpy as np

from autospine.phantom.canvas import Box, Scene, lattice_noise
from autospine.phantom.curves import Lines
from autospine.phantom.mask_labels import CANAL
from autospine.phantom.shapes import FAR, Local
from autospine.phantom.spine import Spine

BAND = 20.0  # mm of height drawn at a time, so that boxes stay narrow where the canal slants


def canal_distance(across: np.ndarray, along: np.ndarray, wide: np.ndarray, deep: np.ndarray) -> np.ndarray:
    """Return the distance in mm to the canal's wall, negative inside, from half width and half depth."""
    taper = 1 - 0.18 * np.clip(along / deep, -1, 1)  # narrower to the back, as an arch is
    return (np.hypot(across / (wide * taper), along / deep) - 1) * np.sqrt(deep * wide) * 0.9


def paint_canal(scene: Scene, spine: Spine, lines: Lines, rng: np.random.Generator) -> None:
    """Paint the canal with fat, the dural sac, cord and roots; its label ends in the sacrum."""
    axes = scene.canvas.axes
    pulse = 1 + 0.05 * lattice_noise(rng, axes, (6, 18, 5))
    roots = rng.uniform((-0.85, -0.1, -60, 0.3, 0), (0.85, 0.95, 90, 1.0, 6.28), (22, 5))
    for top in np.arange(float(axes.z[0]), float(axes.z[-1]) - 1, -BAND):
        rows = axes.z[(axes.z <= top) & (axes.z > top - BAND)]
        if len(rows) == 0:
            continue
        x0, y0, wide, deep, _ = lines.canal.at(rows)
        low = (float((x0 - wide).min()) - 7, float(y0.min()) - 1.5 * deep.max() - 5, float(rows[-1]) - 1e-3)
        high = (float((x0 + wide).max()) + 7, float(y0.max()) + 1.5 * deep.max() + 8, float(rows[0]))
        box = axes.box(low, high)
        if box is not None:
            _paint_canal_band(scene, box, spine, lines, pulse[box], roots)


def _paint_canal_band(scene: Scene, box: Box, spine: Spine, lines: Lines, pulse: np.ndarray, roots: np.ndarray) -> None:
    canvas, contrast = scene.canvas, scene.contrast
    x, y, z = canvas.axes.points(box)
    x0, y0, wide, deep, cosine = (c[None, :, None] for c in lines.canal.at(canvas.axes.z[box[1]]))
    across, along = x - x0, (y - y0) * cosine
    ring = canal_distance(across, along, wide, deep)
    scene.canal[box] = ring
    yellow = np.maximum(ring - 3.2, -along)  # ligamentum flavum behind, dark
    canvas.paint(box, yellow, contrast.ligament * 1.3)
    canvas.paint(box, ring - 0.9, contrast.ligament)
    canvas.paint(box, ring, contrast.fat * 0.9)
    end = float(spine.sacrum[1].frame.origin[2])
    scene.labels[box][(ring < 0) & (z > end - 14)] = CANAL
    # The sac lies in front; behind it fat, more of it further down; it ends at S2.
    thin = np.where(z < 0, np.clip((z - end) / (0 - end), 0.0, 1) ** 0.6, 1.0) + 1e-3
    fat = (0.8 + 1.6 / (1 + np.exp((z - 30) / 20))) * np.ones_like(deep)
    sac_deep, sac_wide = (np.maximum(c, 0.3) * thin for c in (deep - 0.6 - fat / 2, wide - 2.6))
    sac_along = along + (fat / 2) + (1 - thin) * 1.5
    sac = (np.hypot(across / sac_wide, sac_along / sac_deep) - 1) * sac_deep
    canvas.paint(box, sac - 0.5, contrast.ligament * 1.5, opacity=0.8)
    canvas.paint(box, sac, contrast.csf * pulse)
    _paint_nerves(scene, box, (across, sac_along, z), (sac, sac_wide, sac_deep), spine.conus, roots)


def _paint_nerves(
    scene: Scene, box: Box, points: Local, sac: tuple[np.ndarray, ...], conus: float, roots: np.ndarray
) -> None:
    """Paint cord and roots; `points` are (across, along, z), `sac` its distance, half width and half depth."""
    across, along, z = points
    distance, wide, deep = sac
    canvas, contrast = scene.canvas, scene.contrast
    size = np.clip((z - conus) / 28, 0.0, 1) ** 0.5  # the cone tapers to its end
    if size.max() > 0:
        cord = np.hypot(across / (4.9 * size + 1e-3), (along - 0.12 * deep) / (3.7 * size + 1e-3)) - 1
        cord = np.where(size > 0, cord * 3.7 * size, FAR)
        canvas.paint(box, np.maximum(cord, distance + 0.8), contrast.cord)
    for u, v, exit_z, wave, start in roots.astype(np.float32):
        # Roots thin out downward as they leave.
        shut = np.maximum(z - conus - 22, exit_z - z)
        if shut.min() > 1:
            continue
        line_u = u * wide + wave * np.sin(z / 23 + start)
        line_v = v * deep * np.sqrt(1 - 0.7 * u * u)
        root = np.hypot(across - line_u, along - line_v) - 0.75
        canvas.paint(box, np.maximum(np.maximum(root, distance + 0.2), shut), contrast.root, opacity=0.75)
