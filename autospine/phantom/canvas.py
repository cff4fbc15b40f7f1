"""A grid of grey values that shapes are painted on, with soft edges, box by box, and the labels on the same grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from autospine.phantom.mask_labels import SPIDER, MaskLabels
from autospine.phantom.shapes import FAR, Local
from autospine.phantom.spine import Frame
from autospine.phantom.tissue import Contrast

Box = tuple[slice, slice, slice]
Bound = Sequence[float] | np.ndarray  # three numbers
WHOLE: Box = (slice(None), slice(None), slice(None))
JOINT = 0.7  # mm kept free between the bones of a facet joint


@dataclass(frozen=True)
class Axes:
    """World coordinates (mm) of a grid's slices (to the left), rows (downward) and columns (to the back)."""

    x: np.ndarray
    z: np.ndarray
    y: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (slices, rows, columns)."""
        return len(self.x), len(self.z), len(self.y)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the distances in mm of neighbouring slices, rows and columns."""
        ends = ((self.x[0], self.x[-1]), (self.z[-1], self.z[0]), (self.y[0], self.y[-1]))
        x, z, y = (
            round((float(last) - float(first)) / (n - 1), 4) for (first, last), n in zip(ends, self.shape, strict=True)
        )
        return x, z, y

    def box(self, low: Bound, high: Bound) -> Box | None:
        """Return the grid's box within world bounds (x, y, z), or None where they lie outside."""
        bounds = ((self.x, low[0], high[0]), (-self.z, -high[2], -low[2]), (self.y, low[1], high[1]))
        ends = [np.searchsorted(values, [lo, hi + 1e-6]) for values, lo, hi in bounds]
        if any(first >= last for first, last in ends):
            return None
        slices, rows, columns = (slice(int(first), int(last)) for first, last in ends)
        return slices, rows, columns

    def frame_box(self, frame: Frame, low: Bound, high: Bound) -> Box | None:
        """Return the box around local bounds (u, v, w) of a frame, or None where it lies outside."""
        points = np.array(list(product(*zip(low, high, strict=True)))) @ frame.axes  # (8, 3) mm
        return self.box(frame.origin + points.min(axis=0), frame.origin + points.max(axis=0))

    def rod_box(
        self, frame: Frame, start: Sequence[float], end: Sequence[float], margin: float | np.ndarray
    ) -> Box | None:
        """Return the box around a line of a frame with a margin in mm, or None where it lies outside."""
        return self.frame_box(frame, np.minimum(start, end) - margin, np.maximum(start, end) + margin)

    def points(self, box: Box) -> Local:
        """Return world x, y, z of a box, each broadcastable to (slices, rows, columns)."""
        return self.x[box[0], None, None], self.y[None, None, box[2]], self.z[None, box[1], None]

    def local(self, box: Box, frame: Frame) -> Local:
        """Return local u, v, w of a box's voxels, each (slices, rows, columns)."""
        axes = frame.axes.astype(np.float32)
        dx, dy, dz = (c - np.float32(o) for c, o in zip(self.points(box), frame.origin, strict=True))
        u, v, w = (a[0] * dx + (a[1] * dy + a[2] * dz) for a in axes)
        return u, v, w

    def refine(self, times: int, columns: slice) -> Axes:
        """Return the same rows, some of the columns, every slice cut into `times` thin ones."""
        offsets = (np.arange(times) - (times - 1) / 2) * ((self.x[1] - self.x[0]) / times)
        x = (self.x[:, None] + offsets[None, :]).reshape(-1)
        return Axes(x.astype(np.float32), self.z, self.y[columns])


class Canvas:
    """Grey values, float32 (slices, rows, columns), on a grid."""

    def __init__(self, axes: Axes, value: np.ndarray) -> None:
        self.axes, self.value = axes, value
        self.edge = 1.15 * axes.spacing[2]  # mm over which an edge fades

    def paint(
        self, box: Box, distance: np.ndarray, value: float | np.ndarray, opacity: float = 1.0, soft: float = 1.0
    ) -> None:
        """Paint a shape given by its signed distance in the box."""
        cover = np.clip(0.5 - distance / (self.edge * soft), 0, 1)
        if opacity != 1.0:
            cover *= opacity
        painted = self.value[box]
        painted += cover * (value - painted)


class Scene:
    """What the painters of the spine share: a canvas and, on the same grid, labels and distances.

    Attributes:
        canvas: Grey values.
        contrast: How bright each tissue is.
        labels: Labels, of the type of `integers`.
        integers: Those of the mask.
        bone: Distance to the bones painted so far, mm.
        canal: Distance to the spinal canal, mm.
        texture: Unevenness of marrow, unit spread.
    """

    def __init__(
        self, canvas: Canvas, contrast: Contrast, rng: np.random.Generator, integers: MaskLabels = SPIDER
    ) -> None:
        self.canvas, self.contrast, self.integers = canvas, contrast, integers
        self.labels = np.zeros(canvas.axes.shape, integers.dtype)
        self.bone = np.full(canvas.axes.shape, FAR, np.float32)
        self.canal = self.bone.copy()
        fine, coarse = (lattice_noise(rng, canvas.axes, scale) * 0.7 for scale in ((3, 1.6, 1.6), (9, 7, 7)))
        self.texture = fine + coarse


def lattice_noise(rng: np.random.Generator, axes: Axes, scale: tuple[float, float, float]) -> np.ndarray:
    """Return smooth float32 noise of unit spread: chance values on a lattice of `scale` mm (x, z, y), then joined."""
    cells, weights, counts = [], [], []
    for values, step in zip((axes.x, -axes.z, axes.y), scale, strict=True):
        position = (values - values[0]) / step + float(rng.random())
        cell = np.floor(position).astype(np.int64)
        share = (position - cell).astype(np.float32)
        cells.append(cell)
        weights.append(share * share * (3 - 2 * share))
        counts.append(int(cell[-1]) + 2)
    noise = rng.standard_normal(counts, dtype=np.float32) * np.float32(1.7)
    for axis, (cell, weight) in enumerate(zip(cells, weights, strict=True)):
        shape = [1, 1, 1]
        shape[axis] = -1
        low = np.take(noise, cell, axis=axis)
        noise = low + weight.reshape(shape) * (np.take(noise, cell + 1, axis=axis) - low)
    return noise
