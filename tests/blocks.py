"""Spines of plain blocks, whose figures are known: bodies, discs, arches and a canal, on any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.volumes import Geometry, Volume

DEPTH, HEIGHT, GAP, WIDTH = 32.0, 25.0, 9.0, 40.0  # mm
CANAL_FRONT, CANAL_DEPTH, CANAL_WIDTH = 2.0, 15.0, 22.0
ARCH = 30.0  # behind the canal


@dataclass(frozen=True)
class Blocks:
    """A straight column, from vertebra 1 at the bottom; SPIDER's integers."""

    levels: int = 4
    spacing: tuple[float, float, float] = (4.0, 1.0, 1.0)
    slip: float = 0.0  # mm by which vertebra 2 and all above lie further to the front
    wedge: float = 0.0  # degrees by which each body is taller in front
    arches: bool = True
    canal: bool = True
    discs: bool = True
    top_mm: float = 20.0  # of image above the column
    slices: int = 17

    def labels(self) -> np.ndarray:
        """Return the mask, (slices, rows, columns)."""
        high = self.levels * (HEIGHT + GAP) + 20.0 + self.top_mm
        shape = (self.slices, round(high / self.spacing[1]), round(120 / self.spacing[2]))
        x = (np.arange(shape[0]) - (shape[0] - 1) / 2)[:, None, None] * self.spacing[0]
        # Half a voxel off, so that no edge lies on a voxel's centre.
        z = high - self.top_mm - (np.arange(shape[1])[None, :, None] + 0.5) * self.spacing[1] - 20.0
        y = (np.arange(shape[2])[None, None, :] + 0.5) * self.spacing[2] - 30.0
        labels = np.zeros(np.broadcast_shapes(x.shape, z.shape, y.shape), np.uint8)
        canal = (np.abs(x) < CANAL_WIDTH / 2) & (y > DEPTH + CANAL_FRONT) & (y < DEPTH + CANAL_FRONT + CANAL_DEPTH)
        lift = np.tan(np.radians(self.wedge / 2)) * (DEPTH / 2 - y)
        for level in range(1, self.levels + 1):
            shift = -self.slip if level >= 2 else 0.0
            low, high_edge = (level - 1) * (HEIGHT + GAP), (level - 1) * (HEIGHT + GAP) + HEIGHT
            tall = (z > low - lift) & (z < high_edge + lift)
            body = tall & (y - shift > 0) & (y - shift < DEPTH) & (np.abs(x) < WIDTH / 2)
            if self.discs and level > 1:
                disc = (z >= low - GAP) & (z <= low) & (y > 0) & (y < DEPTH) & (np.abs(x) < WIDTH / 2)
                labels[disc] = 200 + level
            if self.arches:
                behind = DEPTH + CANAL_FRONT + CANAL_DEPTH
                arch = (z > low + 4) & (z < low + 17) & (y > DEPTH - 4) & (y < behind + ARCH) & (np.abs(x) < 18)
                labels[arch & ((np.abs(x) > CANAL_WIDTH / 2) | (y > behind))] = level
            labels[body] = level
        if self.canal:
            labels[np.broadcast_to(canal, labels.shape) & (labels == 0)] = 100
        return labels


def as_volume(labels: np.ndarray, spacing: tuple[float, float, float], orientation: str = "PIR") -> Volume:
    """Return canonical labels as a volume whose file has the given axes ("PIR", "LPS", "RAS", ...)."""
    ways = {"L": (0, 1), "R": (0, -1), "I": (1, 1), "S": (1, -1), "P": (2, 1), "A": (2, -1)}
    lps = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # columns: where slices, rows, columns lead in LPS
    axes, signs = zip(*(ways[letter] for letter in orientation), strict=True)
    array = labels.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    direction = np.column_stack([sign * lps[:, axis] for axis, sign in zip(axes, signs, strict=True)])
    origin = np.zeros(3)
    for axis, sign in zip(axes, signs, strict=True):
        if sign < 0:
            origin = origin + lps[:, axis] * spacing[axis] * (labels.shape[axis] - 1)
    size, steps = array.shape, tuple(spacing[axis] for axis in axes)
    geometry = Geometry(size, steps, tuple(origin), tuple(direction.reshape(-1)))  # type: ignore[arg-type]
    return Volume.from_file_order(array, geometry)
