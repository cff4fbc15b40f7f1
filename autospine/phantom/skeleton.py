"""Paint vertebrae and discs, and the whole spine in order, with the labels."""

from __future__ import annotations

import numpy as np

from autospine.phantom.canal import paint_canal
from autospine.phantom.canvas import JOINT, Box, Scene
from autospine.phantom.curves import Lines
from autospine.phantom.mask_labels import DISC
from autospine.phantom.neighbours import paint_between_spines, paint_coccyx, paint_rib, paint_roots, paint_sacrum
from autospine.phantom.shapes import (
    FAR,
    blend,
    body,
    disc_distance,
    disc_gap,
    ellipsoid,
    endplate,
    highest,
    posterior_elements,
    rod,
)  # fmt: skip
from autospine.phantom.spine import Disc, Spine, Vertebra

MOST_LEVELS = 9  # SPIDER's public masks label vertebrae 1 to 9


def paint_disc(scene: Scene, disc: Disc, below: Vertebra, above: Vertebra, label: int) -> None:
    """Paint a disc between two endplates, and label it unless the label is 0."""
    canvas, contrast = scene.canvas, scene.contrast
    reach = (0.5 * disc.width + 3, 0.5 * disc.depth + 6, 0.5 * disc.height + 9)
    box = canvas.axes.frame_box(disc.frame, tuple(-r for r in reach), reach)
    if box is None:
        return
    p = canvas.axes.local(box, disc.frame)
    gap = disc_gap(below, above, canvas.axes.local(box, below.frame), canvas.axes.local(box, above.frame))
    distance = disc_distance(disc, p, gap)
    canvas.paint(box, distance - 0.6, contrast.ligament)
    canvas.paint(box, distance, contrast.annulus)
    health = (1.0, 0.8, 0.36, 0.1, 0.0)[disc.grade - 1]
    bright = contrast.worn_nucleus + health * (contrast.nucleus - contrast.worn_nucleus)
    radii = (0.36 * disc.width, 0.30 * disc.depth, max(2.0, 0.46 * disc.height + 1.5))
    core = np.maximum(ellipsoid(p, (0.0, 2.0, 0.0), radii), gap + 0.8)
    canvas.paint(box, core, bright * (1 + 0.06 * scene.texture[box]), soft=4.5)
    if disc.grade in (2, 3):
        cleft = rod(p, (-0.2 * disc.width, 2, 0), (0.2 * disc.width, 2, 0), (2, 0.2 * disc.depth, 0.9))
        canvas.paint(box, cleft, min(contrast.cleft, bright), opacity=0.7, soft=2)
    if label:
        scene.labels[box][distance < 0] = label


def _bone_box(scene: Scene, vertebra: Vertebra) -> Box | None:
    arch = vertebra.back + 2 * vertebra.canal_depth + vertebra.spinous + 14
    wide = max(vertebra.transverse + 4, vertebra.width / 2 + 4)
    deep = vertebra.spinous * np.sin(np.deg2rad(vertebra.droop)) + vertebra.spinous_height
    low = (-wide, -vertebra.depth / 2 - 5, -max(1.1 * vertebra.height, 0.36 * vertebra.height + deep + 5))
    return scene.canvas.axes.frame_box(vertebra.frame, low, (wide, arch, 0.9 * vertebra.height + 4))


def _body_box(scene: Scene, vertebra: Vertebra) -> Box | None:
    half = (vertebra.width / 2 + 5, vertebra.depth / 2 + 5, vertebra.height / 2 + 5)
    return scene.canvas.axes.frame_box(vertebra.frame, tuple(-c for c in half), half)


def vertebra_distance(scene: Scene, vertebra: Vertebra, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances to the whole vertebra and to its body alone, in the box."""
    axes = scene.canvas.axes
    u, v, w = axes.local(box, vertebra.frame)
    shell = np.full(u.shape, FAR, np.float32)
    body_only = shell.copy()
    inner = _inner(_body_box(scene, vertebra), box)
    if inner is not None:
        body_only[inner] = shell[inner] = body(vertebra, (u[inner], v[inner], w[inner]))
    for element in posterior_elements(vertebra):
        inner = _inner(axes.rod_box(vertebra.frame, element.start, element.end, np.array(element.radii) + 4), box)
        if inner is not None:
            distance = rod((u[inner], v[inner], w[inner]), element.start, element.end, element.radii)
            shell[inner] = blend(shell[inner], distance)
    return shell, body_only


def _inner(small: Box | None, big: Box) -> Box | None:
    """Return the small box counted from the big one's corner and cropped to it."""
    if small is None:
        return None
    x, z, y = (
        slice(max(s.start, b.start) - b.start, min(s.stop, b.stop) - b.start) for s, b in zip(small, big, strict=True)
    )
    return (x, z, y) if all(s.start < s.stop for s in (x, z, y)) else None


def paint_vertebra(scene: Scene, vertebra: Vertebra, discs: tuple[Disc, ...], age: float, labelled: bool) -> None:
    """Paint a vertebra: dark cortex, marrow, basivertebral vein, changes beside worn discs."""
    box = _bone_box(scene, vertebra)
    if box is None:
        return
    canvas, contrast = scene.canvas, scene.contrast
    shell, body_only = vertebra_distance(scene, vertebra, box)
    clear = np.maximum(JOINT - scene.bone[box], 0.3 - scene.canal[box])
    arch = np.maximum(shell, np.where(body_only < 0, -FAR, clear))
    canvas.paint(box, arch - 0.7, contrast.cartilage * 0.6, opacity=0.5)
    canvas.paint(box, arch, contrast.cortex)
    fatty = np.clip((age - 20) / 70, 0, 1)
    marrow = contrast.marrow + fatty * (contrast.fatty_marrow - contrast.marrow)
    grain = 1 + (0.05 + 0.07 * fatty) * scene.texture[box]
    canvas.paint(box, arch + 1.1, marrow * grain, soft=1.3)
    core = _body_box(scene, vertebra)
    inner = _inner(core, box)
    if core is not None and inner is not None:
        _paint_vein(scene, vertebra, core, body_only[inner])
        for disc in discs:
            if disc.modic and disc.level in (vertebra.level, vertebra.level + 1):
                _paint_modic(scene, vertebra, core, body_only[inner], disc)
    scene.bone[box] = np.minimum(scene.bone[box], arch)
    if labelled:
        scene.labels[box][arch < 0] = scene.integers.posterior_elements + vertebra.level
        scene.labels[box][(arch < 0) & (body_only < 0)] = scene.integers.bodies + vertebra.level


def _paint_vein(scene: Scene, vertebra: Vertebra, box: Box, body_only: np.ndarray) -> None:
    p = scene.canvas.axes.local(box, vertebra.frame)
    cone = rod(p, (0, vertebra.back - 7, 0), (0, vertebra.back, 0), (7.0, 2.5, 1.7))
    scene.canvas.paint(box, np.maximum(cone, body_only + 0.2), scene.contrast.vein, opacity=0.8, soft=1.5)


def _paint_modic(scene: Scene, vertebra: Vertebra, box: Box, body_only: np.ndarray, disc: Disc) -> None:
    """Paint Modic changes: type 1 looks like water, type 2 like fat, in the marrow beside the disc, more in front."""
    u, v, w = scene.canvas.axes.local(box, vertebra.frame)
    top = disc.level == vertebra.level + 1
    edge = endplate(vertebra, u, v, top)
    depth = (edge - w) if top else (w - edge)
    reach = 4 + 4 * np.clip(-v / vertebra.depth, -0.5, 0.5) + 1.2 * scene.texture[box]
    value = scene.contrast.edema if disc.modic == 1 else scene.contrast.fat * 0.9
    scene.canvas.paint(box, np.maximum(depth - reach, body_only + 1.3), value, opacity=0.7, soft=4)


def paint_spine(scene: Scene, spine: Spine, lines: Lines, rng: np.random.Generator, extra_disc: bool) -> None:
    """Paint the whole spine, in the order in which things hide each other."""
    for vertebra in spine.vertebrae:
        paint_roots(scene, vertebra)
    paint_between_spines(scene, lines, rng)
    paint_canal(scene, spine, lines, rng)
    whole = complete_levels(scene, spine)
    column = (spine.sacrum[0], *spine.vertebrae)
    for disc, below, above in zip(spine.discs, column, spine.vertebrae, strict=False):
        extra = extra_disc and disc.level == whole + 1 and _disc_inside(scene, disc)
        paint_disc(scene, disc, below, above, DISC + disc.level if disc.level <= whole or extra else 0)
    for disc, below, above in zip(spine.sacral_discs, spine.sacrum[1:], spine.sacrum, strict=False):
        paint_disc(scene, disc, below, above, scene.integers.sacrum)
    paint_coccyx(scene, spine)
    paint_sacrum(scene, spine)
    for vertebra in spine.vertebrae:
        paint_vertebra(scene, vertebra, spine.discs, spine.age, vertebra.level <= whole)
    for vertebra in spine.vertebrae:
        if vertebra.thoracic:
            paint_rib(scene, vertebra)


def _disc_inside(scene: Scene, disc: Disc) -> bool:
    rim = disc.frame.world(0, 0.5 * disc.depth, 0.5 * disc.height)[2]
    front = disc.frame.world(0, -0.5 * disc.depth, 0.5 * disc.height)[2]
    return bool(max(rim, front) < scene.canvas.axes.z[0] - 3)


def complete_levels(scene: Scene, spine: Spine) -> int:
    """Count the vertebrae, from the lowest up, that lie wholly below the upper edge of the image."""
    top = float(scene.canvas.axes.z[0])
    whole = 0
    while whole < min(len(spine.vertebrae), MOST_LEVELS) and highest(spine.vertebrae[whole]) < top:
        whole += 1
    return whole
