"""Paints vertebrae and discs, and the whole spine in order, with the labels."""

from __future__ import annotations

import numpy as np

from autospine.phantom.canal import paint_canal
from autospine.phantom.canvas import Box
from autospine.phantom.curves import Lines
from autospine.phantom.neighbours import paint_between_spines, paint_rib, paint_roots, paint_sacrum
from autospine.phantom.scene import DISC, JOINT, Scene
from autospine.phantom.shapes import (
    FAR,
    blend,
    body,
    corners,
    ellipsoid,
    endplate,
    footprint,
    highest,
    posterior_parts,
    rod,
    rounded_both,
)  # fmt: skip
from autospine.phantom.spine import Disc, Spine, Vertebra

MOST = 9  # SPIDER's public masks label vertebrae 1 to 9


def paint_disc(scene: Scene, disc: Disc, below: Vertebra, above: Vertebra, labelled: bool) -> bool:
    """A disc between two endplates.

    Returns:
        Whether it lies on the grid at all.
    """
    canvas, contrast = scene.canvas, scene.contrast
    reach = (0.5 * disc.width + 3, 0.5 * disc.depth + 6, 0.5 * disc.height + 9)
    box = canvas.axes.box(*corners(disc.frame, tuple(-r for r in reach), reach))
    if box is None:
        return False
    p = canvas.axes.local(box, disc.frame)
    under, over = canvas.axes.local(box, below.frame), canvas.axes.local(box, above.frame)
    lower = endplate(below, under[0], under[1], True) - under[2]
    upper = over[2] - endplate(above, over[0], over[1], False)
    gap = np.maximum(lower, upper)
    distance = rounded_both(footprint(disc, p), gap, 1.0)
    canvas.paint(box, distance - 0.6, contrast.ligament)
    canvas.paint(box, distance, contrast.annulus)
    health = (1.0, 0.8, 0.36, 0.1, 0.0)[disc.grade - 1]
    bright = contrast.worn_nucleus + health * (contrast.nucleus - contrast.worn_nucleus)
    radii = (0.36 * disc.width, 0.30 * disc.depth, max(2.0, 0.46 * disc.height + 1.5))
    core = ellipsoid(p, (0.0, 2.0, 0.0), radii)
    core = np.maximum(core, gap + 0.8)
    canvas.paint(box, core, bright * (1 + 0.06 * scene.texture[box]), soft=4.5)
    if disc.grade in (2, 3):
        cleft = rod(p, (-0.2 * disc.width, 2, 0), (0.2 * disc.width, 2, 0), (2, 0.2 * disc.depth, 0.9))
        canvas.paint(box, cleft, min(contrast.cleft, bright), opacity=0.7, soft=2)
    if labelled:
        scene.labels[box][distance < 0] = DISC + disc.level
    return True


def _bone_box(scene: Scene, vertebra: Vertebra) -> Box | None:
    arch = vertebra.back + 2 * vertebra.canal_depth + vertebra.spinous + 14
    wide = max(vertebra.transverse + 4, vertebra.width / 2 + 4)
    deep = vertebra.spinous * np.sin(np.deg2rad(vertebra.droop)) + vertebra.spinous_height
    low = (-wide, -vertebra.depth / 2 - 5, -max(1.1 * vertebra.height, 0.36 * vertebra.height + deep + 5))
    return scene.canvas.axes.box(*corners(vertebra.frame, low, (wide, arch, 0.9 * vertebra.height + 4)))


def _body_box(scene: Scene, vertebra: Vertebra) -> Box | None:
    half = (vertebra.width / 2 + 5, vertebra.depth / 2 + 5, vertebra.height / 2 + 5)
    return scene.canvas.axes.box(*corners(vertebra.frame, tuple(-c for c in half), half))


def vertebra_distance(scene: Scene, vertebra: Vertebra, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the whole vertebra and to its body alone, in the box."""
    axes = scene.canvas.axes
    p = axes.local(box, vertebra.frame)
    shell = np.full(p[0].shape, FAR, np.float32)
    bodies = shell.copy()
    part = _inner(_body_box(scene, vertebra), box)
    if part is not None:
        bodies[part] = body(vertebra, (p[0][part], p[1][part], p[2][part]))
        shell[part] = bodies[part]
    for piece in posterior_parts(vertebra):
        margin = np.array(piece.radii) + 4
        low = np.minimum(piece.start, piece.end) - margin
        high = np.maximum(piece.start, piece.end) + margin
        part = _inner(axes.box(*corners(vertebra.frame, tuple(low), tuple(high))), box)
        if part is not None:
            found = rod((p[0][part], p[1][part], p[2][part]), piece.start, piece.end, piece.radii)
            shell[part] = blend(shell[part], found)
    return shell, bodies


def _inner(small: Box | None, big: Box) -> Box | None:
    """The small box counted from the big one's corner, cut to it."""
    if small is None:
        return None
    cut = []
    for s, b in zip(small, big, strict=True):
        first, last = max(s.start, b.start) - b.start, min(s.stop, b.stop) - b.start
        if first >= last:
            return None
        cut.append(slice(first, last))
    return cut[0], cut[1], cut[2]


def paint_vertebra(scene: Scene, vertebra: Vertebra, discs: tuple[Disc, ...], age: float, label: int) -> None:
    """A vertebra: dark cortex, marrow, basivertebral vein, changes beside worn discs."""
    box = _bone_box(scene, vertebra)
    if box is None:
        return
    canvas, contrast = scene.canvas, scene.contrast
    shell, bodies = vertebra_distance(scene, vertebra, box)
    clear = np.maximum(JOINT - scene.bone[box], 0.3 - scene.canal[box])
    arch = np.maximum(shell, np.where(bodies < 0, -FAR, clear))
    canvas.paint(box, arch - 0.7, contrast.cartilage * 0.6, opacity=0.5)
    canvas.paint(box, arch, contrast.cortex)
    fatty = np.clip((age - 20) / 70, 0, 1)
    marrow = contrast.marrow + fatty * (contrast.fatty_marrow - contrast.marrow)
    grain = 1 + (0.05 + 0.07 * fatty) * scene.texture[box]
    canvas.paint(box, arch + 1.1, marrow * grain, soft=1.3)
    core = _body_box(scene, vertebra)
    part = _inner(core, box)
    if core is not None and part is not None:
        _paint_vein(scene, vertebra, core, bodies[part])
        for disc in discs:
            if disc.modic and disc.level in (vertebra.level, vertebra.level + 1):
                _paint_modic(scene, vertebra, core, bodies[part], disc)
    scene.bone[box] = np.minimum(scene.bone[box], arch)
    if label:
        inside = arch < 0
        scene.labels[box][inside] = label


def _paint_vein(scene: Scene, vertebra: Vertebra, box: Box, bodies: np.ndarray) -> None:
    p = scene.canvas.axes.local(box, vertebra.frame)
    cone = rod(p, (0, vertebra.back - 7, 0), (0, vertebra.back, 0), (7.0, 2.5, 1.7))
    scene.canvas.paint(box, np.maximum(cone, bodies + 0.2), scene.contrast.vein, opacity=0.8, soft=1.5)


def _paint_modic(scene: Scene, vertebra: Vertebra, box: Box, bodies: np.ndarray, disc: Disc) -> None:
    """Type 1 looks like water, type 2 like fat, in the marrow beside the disc, more in front."""
    u, v, w = scene.canvas.axes.local(box, vertebra.frame)
    top = disc.level == vertebra.level + 1
    edge = endplate(vertebra, u, v, top)
    depth = (edge - w) if top else (w - edge)
    reach = 4 + 4 * np.clip(-v / vertebra.depth, -0.5, 0.5) + 1.2 * scene.texture[box]
    value = scene.contrast.edema if disc.modic == 1 else scene.contrast.fat * 0.9
    scene.canvas.paint(box, np.maximum(depth - reach, bodies + 1.3), value, opacity=0.7, soft=4)


def paint_spine(scene: Scene, spine: Spine, lines: Lines, rng: np.random.Generator, extra_disc: bool) -> None:
    """Everything of the spine, in the order in which things hide each other."""
    for vertebra in spine.vertebrae:
        paint_roots(scene, vertebra)
    paint_between_spines(scene, lines, rng)
    paint_canal(scene, spine, lines, rng)
    whole = complete_levels(scene, spine)
    chain = (spine.sacrum[0], *spine.vertebrae)
    for disc, below, above in zip(spine.discs, chain, spine.vertebrae, strict=False):
        extra = extra_disc and disc.level == whole + 1 and _disc_inside(scene, disc)
        paint_disc(scene, disc, below, above, disc.level <= whole or extra)
    for disc, below, above in zip(spine.sacral_discs, spine.sacrum[1:], spine.sacrum, strict=False):
        paint_disc(scene, disc, below, above, False)
    paint_sacrum(scene, spine)
    for vertebra in spine.vertebrae:
        label = vertebra.level if vertebra.level <= whole else 0
        paint_vertebra(scene, vertebra, spine.discs, spine.age, label)
    for vertebra in spine.vertebrae:
        if vertebra.thoracic:
            paint_rib(scene, vertebra)


def _disc_inside(scene: Scene, disc: Disc) -> bool:
    rim = disc.frame.world(0, 0.5 * disc.depth, 0.5 * disc.height)[2]
    front = disc.frame.world(0, -0.5 * disc.depth, 0.5 * disc.height)[2]
    return bool(max(rim, front) < scene.canvas.axes.z[0] - 3)


def complete_levels(scene: Scene, spine: Spine) -> int:
    """How many vertebrae, from the lowest up, lie wholly below the upper edge of the image."""
    top = float(scene.canvas.axes.z[0])
    whole = 0
    while whole < min(len(spine.vertebrae), MOST) and highest(spine.vertebrae[whole]) < top:
        whole += 1
    return whole
