"""A grid of grey values that shapes are painted on, with soft edges, box by box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autospine.phantom.shapes import Local
from autospine.phantom.spine import Frame

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Axes:
    """World coordinates (mm) of a grid's slices (to the left), rows (downward) and columns (to the back)."""

    x: np.ndarray
    z: np.ndarray
    y: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return len(self.x), len(self.z), len(self.y)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbours in mm."""
        ends = ((self.x[0], self.x[-1]), (self.z[-1], self.z[0]), (self.y[0], self.y[-1]))
        steps = ((float(b) - float(a)) / (n - 1) for (a, b), n in zip(ends, self.shape, strict=True))
        x, z, y = (round(step, 4) for step in steps)
        return x, z, y

    def box(self, low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray) -> Box | None:
        """The part of the grid within world bounds (x, y, z), or None where they lie outside."""
        found = []
        for values, lo, hi in (
            (self.x, low[0], high[0]),
            (-self.z, -high[2], -low[2]),
            (self.y, low[1], high[1]),
        ):
            first, last = np.searchsorted(values, [lo, hi + 1e-6])
            if first >= last:
                return None
            found.append(slice(int(first), int(last)))
        return found[0], found[1], found[2]

    def points(self, box: Box) -> Local:
        """World x, y, z of a box, each broadcastable to (slices, rows, columns)."""
        return self.x[box[0], None, None], self.y[None, None, box[2]], self.z[None, box[1], None]

    def local(self, box: Box, frame: Frame) -> Local:
        """Local u, v, w of a box's voxels, each (slices, rows, columns)."""
        x, y, z = self.points(box)
        axes = frame.axes.astype(np.float32)
        dx, dy, dz = (c - np.float32(o) for c, o in zip((x, y, z), frame.origin, strict=True))
        u, v, w = (a[0] * dx + (a[1] * dy + a[2] * dz) for a in axes)
        return u, v, w

    def refine(self, times: int, columns: slice) -> Axes:
        """The same rows, some of the columns, every slice cut into `times` thin ones."""
        step = (self.x[1] - self.x[0]) / times
        offsets = (np.arange(times) - (times - 1) / 2) * step
        x = (self.x[:, None] + offsets[None, :]).reshape(-1)
        return Axes(x.astype(np.float32), self.z, self.y[columns])


class Canvas:
    """Grey values on a grid.

    Attributes:
        axes: The grid.
        value: Grey values, float32 (slices, rows, columns).
    """

    def __init__(self, axes: Axes, value: np.ndarray) -> None:
        self.axes, self.value = axes, value
        self.edge = 1.15 * axes.spacing[2]  # mm over which an edge fades

    def paint(
        self,
        box: Box,
        distance: np.ndarray,
        value: float | np.ndarray,
        opacity: float = 1.0,
        soft: float = 1.0,
    ) -> None:
        """Paints a shape given by its signed distance in the box."""
        cover = np.clip(0.5 - distance / (self.edge * soft), 0, 1)
        if opacity != 1.0:
            cover *= opacity
        part = self.value[box]
        part += cover * (value - part)


def lattice_noise(rng: np.random.Generator, axes: Axes, scale: tuple[float, float, float]) -> np.ndarray:
    """Smooth noise of unit spread: chance values on a lattice of `scale` mm (x, z, y), joined smoothly.

    Returns:
        float32 (slices, rows, columns)
    """
    firsts, parts, counts = [], [], []
    for values, step in zip((axes.x, -axes.z, axes.y), scale, strict=True):
        place = (values - values[0]) / step + float(rng.random())
        first = np.floor(place).astype(np.int64)
        part = (place - first).astype(np.float32)
        firsts.append(first)
        parts.append(part * part * (3 - 2 * part))
        counts.append(int(first[-1]) + 2)
    noise = rng.standard_normal(counts, dtype=np.float32) * np.float32(1.7)
    for axis, (first, part) in enumerate(zip(firsts, parts, strict=True)):
        shape = [1, 1, 1]
        shape[axis] = -1
        low = np.take(noise, first, axis=axis)
        noise = low + part.reshape(shape) * (np.take(noise, first + 1, axis=axis) - low)
    return noise
