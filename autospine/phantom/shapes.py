"""Shapes as signed distances in mm (negative inside), each computed only in a box around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.spine import Disc, Vertebra

Local = tuple[np.ndarray, np.ndarray, np.ndarray]
FAR = 30.0  # mm: the distance that stands for "not near"


def rod(p: Local, start: tuple[float, ...], end: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Return the distance to a thick line from start to end with its own radius along each axis."""
    a = [s / r for s, r in zip(start, radii, strict=True)]
    b = [e / r - s for e, r, s in zip(end, radii, a, strict=True)]
    q = [c / r - s for c, r, s in zip(p, radii, a, strict=True)]
    length = sum(c * c for c in b) or 1.0
    t = np.clip((q[0] * b[0] + q[1] * b[1] + q[2] * b[2]) / length, 0, 1)
    far = np.sqrt((q[0] - t * b[0]) ** 2 + (q[1] - t * b[1]) ** 2 + (q[2] - t * b[2]) ** 2)
    return (far - 1) * min(radii)


def ellipsoid(p: Local, centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Return the distance to an ellipsoid."""
    return rod(p, centre, centre, radii)


def blend(a: np.ndarray, b: np.ndarray, soft: float = 2.5) -> np.ndarray:
    """Join two shapes with a rounded crease."""
    crease = np.maximum(soft - np.abs(a - b), 0) / soft
    return np.minimum(a, b) - crease * crease * (soft / 4)


def rounded_both(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Intersect two shapes with a rounded edge."""
    a, b = a + radius, b + radius
    return np.minimum(np.maximum(a, b), 0) + np.hypot(np.maximum(a, 0), np.maximum(b, 0)) - radius


def oval(u: np.ndarray, v: np.ndarray, a: float | np.ndarray, b: float | np.ndarray) -> np.ndarray:
    """Return the distance to a rounded oblong of half axes a and b: fuller than an ellipse, as endplates are."""
    x, y = (u / a) ** 2, (v / b) ** 2
    q = np.sqrt(np.sqrt(x * x + y * y + 1.35 * x * y))
    return (q - 1) * np.sqrt(a * b)


def endplate(vertebra: Vertebra, u: np.ndarray, v: np.ndarray, top: bool) -> np.ndarray:
    """Return the height w of an endplate over the body's middle, sunk in its centre, tilted by the wedge."""
    lift = np.tan(np.deg2rad(vertebra.wedge / 2)) * v
    middle = v - (1.5 if top else 3.0)  # the lower endplate is deepest further back
    inside = 1 - (u / (0.5 * vertebra.width)) ** 2 - (middle / (0.5 * vertebra.depth)) ** 2
    sunk = vertebra.hollow * np.sqrt(np.maximum(inside, 0))
    half = vertebra.height / 2 - sunk - lift
    return half if top else -half


def body(vertebra: Vertebra, p: Local) -> np.ndarray:
    """Return the distance to the vertebral body: waisted, with hollow endplates and a slightly hollow hind wall."""
    u, v, w = p
    level = np.clip(2 * w / vertebra.height, -1, 1) ** 2
    size = 1 - vertebra.waist * (1 - level) + vertebra.spur * level * level * level
    side = oval(u, v, 0.5 * vertebra.width * size, 0.5 * vertebra.depth * size)
    wall = v - vertebra.back + 1.2 * (1 - level) - 2.0 * np.minimum((u / (0.4 * vertebra.width)) ** 2, 1)
    above = w - endplate(vertebra, u, v, True)
    below = endplate(vertebra, u, v, False) - w
    return rounded_both(rounded_both(side, wall, 1.5), np.maximum(above, below), 2.0)


@dataclass(frozen=True)
class Rod:
    """A thick line of a vertebra, in its own frame (mm)."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radii: tuple[float, float, float]


def posterior_elements(vertebra: Vertebra) -> list[Rod]:
    """Return pedicles, articular processes, laminae and transverse processes, last the spinous process and its tip."""
    back, h, r = vertebra.back, vertebra.height, vertebra.pedicle
    foot = vertebra.canal_width + 0.85 * r  # the pedicle's distance from the midline
    arch = back + 2 * vertebra.canal_depth  # hind wall of the canal
    flat, behind = (0.8, 6) if vertebra.thoracic else (1.0, -1)
    articular = (4.6 * flat, 3.4, 4.5)
    rods = []
    for side in (-1.0, 1.0):
        pillar = side * (foot - 0.5)
        rods += [
            Rod((side * foot, back - 4, 0.2 * h), (pillar, arch - 5, 0.17 * h), (r, 4, 0.25 * h)),  # pedicle
            Rod((pillar, arch - 4, 0.2 * h), (pillar * 0.92, arch, -0.32 * h), (4.6, 4, 5)),  # pars
            Rod(
                (side * (foot + 1.5), arch - 5, 0.25 * h), (side * (foot + 2.5 * flat), arch - 3.2, 0.66 * h), articular
            ),
            Rod((pillar * 0.9, arch + 0.5, -0.3 * h), (pillar * 0.84, arch + 2.8, -0.80 * h), articular),
            Rod((pillar * 0.9, arch, -0.2 * h), (0, arch + 6.5, -0.36 * h), (4, 3.2, 0.26 * h)),  # lamina
            Rod(
                (side * (foot + 2), arch - 6, 0.15 * h),
                (side * (vertebra.transverse - 4), arch + behind, 0.2 * h),
                (5, 3.6, 5.2),
            ),
        ]
    droop = np.deg2rad(vertebra.droop)
    tall, long = vertebra.spinous_height, vertebra.spinous - 6
    root = (0.0, arch + 6.0, -0.36 * h)
    tip = (0.0, root[1] + long * float(np.cos(droop)), root[2] - long * float(np.sin(droop)))
    spinous = [
        Rod(root, tip, (3.4, 5.0, tall)),
        Rod((0.0, tip[1] - 1, tip[2] - 0.2 * tall), tip, (4.6, 4.6, tall * 0.9)),
    ]
    return rods + spinous


def spinous_tip(vertebra: Vertebra) -> np.ndarray:
    """Return the end of the spinous process in world coordinates."""
    u, v, w = posterior_elements(vertebra)[-1].end
    return vertebra.frame.world(u, v + 4.6, w)


def highest(vertebra: Vertebra) -> float:
    """Return world z of the highest point of a vertebra (a little above it, never below)."""
    half = (vertebra.width / 2, vertebra.depth / 2, vertebra.height / 2)
    tops = [float(vertebra.frame.world(u, v, half[2])[2]) for u in (-half[0], half[0]) for v in (-half[1], half[1])]
    for element in posterior_elements(vertebra):
        reach = float(np.linalg.norm(vertebra.frame.axes[:, 2] * np.array(element.radii)))
        tops += [float(vertebra.frame.world(*end)[2]) + reach for end in (element.start, element.end)]
    return max(tops) + 0.5


def footprint(disc: Disc, p: Local) -> np.ndarray:
    """Return the distance to the disc's outline seen from above, with its bulge toward the canal."""
    u, v, _ = p
    front = 0.5 * disc.depth + 0.4
    side = oval(u, v, 0.5 * disc.width + 0.4, front)
    bump = disc.bulge * np.exp(-(((u - disc.side) / 9.0) ** 2))
    wall = v - (0.5 * disc.depth - 1.5) - bump - 1.2 * np.minimum((u / (0.4 * disc.width)) ** 2, 1)
    # A bulge passes the oval: behind the middle only the wall counts, except far to the sides.
    side = np.where(v > 0, oval(u, np.maximum(v - bump, 0), 0.5 * disc.width + 0.4, front), side)
    return rounded_both(side, wall, 1.5)


def disc_gap(below: Vertebra, above: Vertebra, under: Local, over: Local) -> np.ndarray:
    """Return the distance to the room between two endplates, from points in both vertebrae's frames."""
    lower = endplate(below, under[0], under[1], True) - under[2]
    upper = over[2] - endplate(above, over[0], over[1], False)
    return np.maximum(lower, upper)


def disc_distance(disc: Disc, p: Local, gap: np.ndarray) -> np.ndarray:
    """Return the distance to a disc, from the distance to the room between its endplates."""
    return rounded_both(footprint(disc, p), gap, 1.0)
