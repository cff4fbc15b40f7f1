"""The surface elements (surfels) of a mask: where its surface runs, how large it is there, how far it is from another.

A surface passes through the cells between 2 x 2 x 2 voxel centres whose voxels differ. A cell's code has one bit per
corner that lies inside, 0 to 255; its area is that of the triangles that marching cubes gives the pattern at the
image's spacing (the idea of Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy",
section on surface Dice).

Every distance is exact and measured once. Surfaces of a good segmentation lie close together, so each element first
looks at the cells around it, nearest first, a few whole-array look-ups for all elements at once; the few that meet
nothing ask a k-d tree. On spines this measured some ten times faster than distance maps of the labels' boxes, and a
stray voxel far away that widens a box costs little time and no memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, permutations, product

import numpy as np

REACH = 3  # steps of the finest axis that are looked around
LEAF = 32  # points in a leaf of the tree: few queries per tree, so a quick build counts


@dataclass(frozen=True)
class SurfaceElements:
    """One mask's surface, n elements."""

    # Boolean: through which cells it passes. A mask of (n, ...) has (n + 1, ...) cells; around them is a margin as wide
    # as `shells` reach.
    cells: np.ndarray
    indices: np.ndarray  # (n,) their indices in the flattened `cells`
    areas: np.ndarray  # (n,) mm2 (lengths in mm on two axes, 1 on one)
    spacing: tuple[float, ...]  # mm along each axis

    @classmethod
    def of(cls, mask: np.ndarray, spacing: tuple[float, ...]) -> SurfaceElements:
        """Find the surface of a boolean mask; what leaves the array counts as outside."""
        codes = _codes(np.pad(mask, [(1 + steps,) * 2 for steps in _reach(spacing)]))
        inside = (1 << (1 << mask.ndim)) - 1  # the code of a cell wholly inside
        cells = (codes != 0) & (codes != inside)
        indices = np.flatnonzero(cells)
        return cls(cells, indices, surfel_areas(spacing)[codes.ravel()[indices]], spacing)

    def distances(self, other: SurfaceElements) -> np.ndarray:
        """Return (n,) mm from each element to the nearest of `other`, which has cells of the same shape."""
        distances = np.empty(self.indices.shape)
        left, indices = np.arange(self.indices.size), self.indices  # elements without a distance yet
        for mm, offsets in shells(self.spacing):
            hit = other._passes(indices, offsets)
            distances[left[hit]] = mm
            left, indices = left[~hit], indices[~hit]
            if not left.size:
                return distances
        distances[left] = other._ask_tree(self._points(indices))
        return distances

    def _passes(self, indices: np.ndarray, offsets: tuple[tuple[int, ...], ...]) -> np.ndarray:
        """Return (indices,) boolean: whether the surface passes through a cell at one of `offsets` from there."""
        flat = self.cells.ravel()
        strides = [math.prod(self.cells.shape[axis + 1 :]) for axis in range(self.cells.ndim)]
        hit = np.zeros(indices.shape, bool)
        for offset in offsets:
            hit |= flat[indices + sum(n * stride for n, stride in zip(offset, strides, strict=True))]
        return hit

    def _ask_tree(self, points: np.ndarray) -> np.ndarray:
        """Return (points,) mm to the nearest element, wherever it is."""
        from scipy.spatial import KDTree

        tree = KDTree(self._points(self.indices), leafsize=LEAF, compact_nodes=False, balanced_tree=False)
        return tree.query(points)[0]

    def _points(self, indices: np.ndarray) -> np.ndarray:
        """Return (indices, axes) in mm."""
        return np.stack(np.unravel_index(indices, self.cells.shape), axis=-1) * np.array(self.spacing)


def _codes(mask: np.ndarray) -> np.ndarray:
    """Return one bit per corner of each cell: (n - 1, ...) for a mask of (n, ...).

    Bits are in the order of `itertools.product((0, 1), repeat=axes)` over the corners: the last axis moves fastest.
    """
    code: np.ndarray = mask.view(np.uint8)
    for bits, axis in enumerate(reversed(range(mask.ndim))):
        before = (slice(None),) * axis
        code = code[(*before, slice(None, -1))] | (code[(*before, slice(1, None))] << (1 << bits))
    return code


@cache
def shells(spacing: tuple[float, ...]) -> tuple[tuple[float, tuple[tuple[int, ...], ...]], ...]:
    """Return offsets between cells, nearest first: distances in mm, each with the offsets that are its mirror images.

    They are complete: whatever is nearer than the first offset that is not among them is among them.

    Example:
        >>> shells((4.0, 1.0))[:2]
        ((0.0, ((0, 0),)), (1.0, ((0, -1), (0, 1))))
    """
    offsets = []
    for steps in product(*(range(n + 1) for n in _reach(spacing))):
        mm = math.sqrt(sum((n * step) ** 2 for n, step in zip(steps, spacing, strict=True)))
        if mm < _radius(spacing):
            offsets.append((mm, tuple(sorted(set(product(*((-n, n) for n in steps)))))))
    return tuple(sorted(offsets))


def _radius(spacing: tuple[float, ...]) -> float:
    return (REACH + 1) * min(spacing)


def _reach(spacing: tuple[float, ...]) -> list[int]:
    """Return the steps along each axis that stay within the radius."""
    return [math.ceil(_radius(spacing) / step) - 1 for step in spacing]


@cache
def surfel_areas(spacing: tuple[float, ...]) -> np.ndarray:
    """Return the area of the surface in a cell, by code: (256,) mm2 in three axes, (16,) mm in two, (4,) 1 in one.

    Averaged over all mirrorings, turns and the exchange of inside and outside, so that no result depends on
    how the image lies in its file.
    """
    axes = len(spacing)
    corners = list(product((0, 1), repeat=axes))
    total, count = np.zeros(1 << len(corners)), 0
    codes = np.arange(total.size)
    for order in permutations(range(axes)):
        areas = _areas(tuple(spacing[axis] for axis in order))
        for flips in product((0, 1), repeat=axes):
            bits = [corners.index(tuple(c[axis] ^ flips[axis] for axis in order)) for c in corners]
            turned = sum(((codes >> bit) & 1) << target for bit, target in enumerate(bits))
            total += areas[turned] + areas[total.size - 1 - turned]
            count += 2
    mean = total / count
    mean.flags.writeable = False
    return mean


def _areas(spacing: tuple[float, ...]) -> np.ndarray:
    """Return the area by code of a cell that lies as it is."""
    axes = len(spacing)
    if axes < 2:
        return np.array([0.0, 1.0, 1.0, 0.0])
    codes, simplices = _simplices(axes)
    points = simplices * np.array(spacing)  # (simplices, corners of a simplex, axes)
    if axes == 2:
        area = np.linalg.norm(points[:, 1] - points[:, 0], axis=-1)
    else:
        area = np.linalg.norm(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=-1) / 2
    return np.bincount(codes, weights=area, minlength=1 << (1 << axes))


@cache
def _simplices(axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangles (or segments) of every code in a cell of side 1: their codes, their corner points."""
    from skimage.measure import find_contours, marching_cubes

    codes, simplices = [], []
    count = 1 << axes
    for code in range(1, (1 << count) - 1):
        cell = np.array([(code >> bit) & 1 for bit in range(count)], float).reshape((2,) * axes)
        if axes == 3:
            points, triangles, _, _ = marching_cubes(cell, 0.5)  # type: ignore[no-untyped-call]
            own = list(points[triangles])  # (triangles, 3, 3)
        else:
            lines = find_contours(cell, 0.5)  # type: ignore[no-untyped-call]
            own = [np.array(pair) for line in lines for pair in pairwise(line)]
        codes += [code] * len(own)
        simplices += own
    return np.array(codes), np.array(simplices, float)
