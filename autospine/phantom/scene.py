"""What the painters of the spine share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.canvas import Canvas, lattice_noise
from autospine.phantom.shapes import FAR
from autospine.phantom.tissue import Contrast

CANAL, DISC = 100, 200
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
    texture = lattice_noise(rng, canvas.axes, (3, 1.6, 1.6)) * 0.7 + lattice_noise(rng, canvas.axes, (9, 7, 7)) * 0.7
    return Scene(
        canvas=canvas,
        contrast=contrast,
        labels=np.zeros(shape, np.uint8),
        bone=np.full(shape, FAR, np.float32),
        canal=np.full(shape, FAR, np.float32),
        texture=texture,
    )
