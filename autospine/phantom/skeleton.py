"""Paints the spine itself on a fine grid, and writes its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.canvas import Box, Canvas, lattice_noise
from autospine.phantom.curves import Lines
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
)
from autospine.phantom.spine import Disc, Spine, Vertebra
from autospine.phantom.tissue import Contrast

CANAL, DISC = 100, 200
MOST = 9  # SPIDER's public masks label vertebrae 1 to 9
JOINT = 0.7  # mm kept free between the bones of a facet joint


@dataclass
class Scene:
    """What the painters share: the canvas and, on the same grid, labels and distances.

    Attributes:
        canvas: Grey values.
        labels: SPIDER's labels, uint8.
        bone: Distance to the bones painted so far, mm.
        canal: Distance to the spinal canal, mm.
        texture: Unevenness of marrow, unit spread.
    """

    canvas: Canvas
    contrast: Contrast
    labels: np.ndarray
    bone: np.ndarray
    canal: np.ndarray
    texture: np.ndarray


def make_scene(canvas: Canvas, contrast: Contrast, rng: np.random.Generator) -> Scene:
    """An empty scene on a canvas."""
    shape = canvas.axes.shape
    texture = (
        lattice_noise(rng, canvas.axes, (3, 1.6, 1.6)) * 0.7
        + lattice_noise(rng, canvas.axes, (9, 7, 7)) * 0.7
    )
    return Scene(
        canvas=canvas,
        contrast=contrast,
        labels=np.zeros(shape, np.uint8),
        bone=np.full(shape, FAR, np.float32),
        canal=np.full(shape, FAR, np.float32),
        texture=texture,
    )


BAND = 20.0  # mm of height drawn at a time, so that boxes stay narrow where the canal slants


def paint_canal(scene: Scene, spine: Spine, lines: Lines, rng: np.random.Generator) -> None:
    """The canal with fat, the dural sac, cord and roots; its label ends in the sacrum."""
    axes = scene.canvas.axes
    pulse = 1 + 0.05 * lattice_noise(rng, axes, (6, 18, 5))
    roots = rng.uniform((-0.85, -0.1, -60, 0.3, 0), (0.85, 0.95, 90, 1.0, 6.28), (22, 5))
    for high in np.arange(float(axes.z[0]), float(axes.z[-1]) - 1, -BAND):
        rows = axes.z[(axes.z <= high) & (axes.z > high - BAND)]
        if len(rows) == 0:
            continue
        x0, y0, wide, deep, _ = lines.canal.at(rows)
        low_corner = (
            float((x0 - wide).min()) - 7,
            float(y0.min()) - 1.5 * deep.max() - 5,
            float(rows[-1]) - 1e-3,
        )
        high_corner = (float((x0 + wide).max()) + 7, float(y0.max()) + 1.5 * deep.max() + 8, float(rows[0]))
        box = axes.box(low_corner, high_corner)
        if box is not None:
            _paint_canal_band(scene, box, spine, lines, pulse[box], roots)


def _paint_canal_band(
    scene: Scene, box: Box, spine: Spine, lines: Lines, pulse: np.ndarray, roots: np.ndarray
) -> None:
    canvas, contrast = scene.canvas, scene.contrast
    x, y, z = canvas.axes.points(box)
    x0, y0, wide, deep, cosine = (c[None, :, None] for c in lines.canal.at(canvas.axes.z[box[1]]))
    across, along = x - x0, (y - y0) * cosine
    taper = 1 - 0.18 * np.clip(along / deep, -1, 1)  # narrower to the back, as an arch is
    ring = (np.hypot(across / (wide * taper), along / deep) - 1) * np.sqrt(deep * wide) * 0.9
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
    scene: Scene, box: Box, place: tuple[np.ndarray, ...], sac: tuple[np.ndarray, ...], conus: float,
    roots: np.ndarray,
) -> None:  # fmt: skip
    across, along, z = place
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


def sacral_distance(scene: Scene, segment: Vertebra) -> tuple[Box, np.ndarray] | None:
    """One segment of the sacrum: a body, its wings and a crest behind the canal."""
    arch = segment.back + 2 * segment.canal_depth
    wing = (1.2 * segment.width, arch + 16, 0.75 * segment.height)
    low = (-wing[0], -segment.depth, -wing[2] - 3)
    box = scene.canvas.axes.box(*corners(segment.frame, low, wing))
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


def paint_sacrum(scene: Scene, spine: Spine) -> None:
    """The sacrum, never labelled: first every segment's cortex, then marrow, so that the wings are fused."""
    contrast = scene.contrast
    fatty = np.clip((spine.age - 10) / 70, 0, 1)
    marrow = contrast.marrow + fatty * (contrast.fatty_marrow - contrast.marrow)
    found = [f for f in (sacral_distance(scene, segment) for segment in spine.sacrum) if f is not None]
    for box, shell in found:
        scene.canvas.paint(box, shell, contrast.cortex)
    for box, shell in found:
        scene.canvas.paint(box, shell + 1.0, marrow * (1 + 0.09 * scene.texture[box]), soft=1.3)
        scene.bone[box] = np.minimum(scene.bone[box], shell)


def paint_rib(scene: Scene, vertebra: Vertebra) -> None:
    """The heads of a thoracic vertebra's ribs, unlabelled."""
    contrast = scene.contrast
    for side in (-1.0, 1.0):
        start = (side * (vertebra.width / 2 + 3), vertebra.back - 3, 0.3 * vertebra.height)
        end = (side * (vertebra.width / 2 + 45), vertebra.back + 24, -0.1 * vertebra.height)
        low, high = np.minimum(start, end) - 8, np.maximum(start, end) + 8
        box = scene.canvas.axes.box(*corners(vertebra.frame, tuple(low), tuple(high)))
        if box is None:
            continue
        rib = rod(scene.canvas.axes.local(box, vertebra.frame), start, end, (5, 4, 5.5))
        rib = np.maximum(rib, JOINT - scene.bone[box])
        scene.canvas.paint(box, rib, contrast.cortex)
        scene.canvas.paint(box, rib + 1.2, contrast.marrow, soft=1.3)


def paint_roots(scene: Scene, vertebra: Vertebra) -> None:
    """The pair of nerves that leaves below a vertebra's pedicles, in the fat of its foramina."""
    v = vertebra.back + vertebra.canal_depth
    for side in (-1.0, 1.0):
        start = (side * (vertebra.canal_width - 2), v - 1, -0.05 * vertebra.height)
        end = (side * (vertebra.canal_width + 20), v - 10, -0.75 * vertebra.height)
        low, high = np.minimum(start, end) - 5, np.maximum(start, end) + 5
        box = scene.canvas.axes.box(*corners(vertebra.frame, tuple(low), tuple(high)))
        if box is None:
            continue
        p = scene.canvas.axes.local(box, vertebra.frame)
        halo = rod(p, start, end, (6, 6, 7))
        scene.canvas.paint(box, halo, scene.contrast.fat * 0.92, soft=2)
        scene.canvas.paint(box, rod(p, start, end, (2.4, 2.4, 2.8)), scene.contrast.root)


def paint_between_spines(scene: Scene, lines: Lines, rng: np.random.Generator) -> None:
    """Ligaments and fat between the spinous processes, and the dark band over their tips."""
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
