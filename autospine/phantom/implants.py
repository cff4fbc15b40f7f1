"""Paint metal and cement: voids, and the bright rims where misplaced signal piles up. The labels stay bone's."""

from __future__ import annotations

import itertools

from autospine.phantom.canvas import Scene
from autospine.phantom.findings import Findings
from autospine.phantom.shapes import rod
from autospine.phantom.spine import Frame, Spine, Vertebra

SCREW, ROD, CEMENT = 3.2, 3.0, 7.0  # radii in mm
RIM = 1.8  # mm of pile-up around metal


def paint_implants(scene: Scene, spine: Spine, findings: Findings) -> None:
    """Paint the screws of both sides with the rods that join them, and the cement."""
    instrumented = [vertebra for vertebra in spine.vertebrae if vertebra.level in findings.screws]
    for side in (-1.0, 1.0):
        for vertebra in instrumented:
            head, tip = _screw(vertebra, side)
            _paint_metal(scene, vertebra.frame, head, tip, SCREW + findings.blooming)
        for lower, upper in itertools.pairwise(instrumented):
            far = lower.frame.axes @ (upper.frame.world(*_screw(upper, side)[0]) - lower.frame.origin)
            start, end = _screw(lower, side)[0], (float(far[0]), float(far[1]), float(far[2]))
            _paint_metal(scene, lower.frame, start, end, ROD + findings.blooming)
    for vertebra in spine.vertebrae:
        if vertebra.level in findings.cement:
            middle = (0.0, -0.1 * vertebra.depth, 0.0)
            _paint(scene, vertebra.frame, middle, middle, min(CEMENT, 0.35 * vertebra.height), 0.0)


def _screw(vertebra: Vertebra, side: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return head and tip of a screw through a pedicle, in the vertebra's frame (mm)."""
    foot = vertebra.canal_width + 0.85 * vertebra.pedicle
    arch, up = vertebra.back + 2 * vertebra.canal_depth, 0.18 * vertebra.height
    return (side * (foot + 3), arch + 4, up), (side * foot * 0.55, -0.15 * vertebra.depth, up)


def _paint_metal(
    scene: Scene, frame: Frame, start: tuple[float, float, float], end: tuple[float, float, float], radius: float
) -> None:
    _paint(scene, frame, start, end, radius + RIM, 1.3 * max(scene.contrast.fat, scene.contrast.csf))
    _paint(scene, frame, start, end, radius, 0.0)


def _paint(
    scene: Scene,
    frame: Frame,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
    value: float,
) -> None:
    box = scene.canvas.axes.rod_box(frame, start, end, radius + 2)
    if box is not None:
        scene.canvas.paint(box, rod(scene.canvas.axes.local(box, frame), start, end, (radius,) * 3), value)
