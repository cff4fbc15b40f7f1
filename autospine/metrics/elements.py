"""Sizes of surface elements: the area of a mask's surface in a cell between 2 x 2 x 2 voxel centres.

A cell's code has one bit per corner that lies inside, 0 to 255; its area is that of the triangles that marching cubes
gives the pattern at the image's spacing (the idea of Nikolov et al. 2021, "Clinically applicable segmentation of head
and neck anatomy", section on surface Dice).
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise, permutations, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@cache
def element_sizes(spacing: tuple[float, ...]) -> np.ndarray:
    """Size of the surface in a cell, by code: (256,) mm2 in three axes, (16,) mm in two, (4,) 1 in one.

    Averaged over all mirrorings, turns and the exchange of inside and outside, so that no result depends on
    how the image lies in its file.
    """
    import numpy as np

    axes = len(spacing)
    corners = list(product((0, 1), repeat=axes))
    total, ways = np.zeros(1 << len(corners)), 0
    for order in permutations(range(axes)):
        plain = _plain_sizes(tuple(spacing[axis] for axis in order))
        for flips in product((0, 1), repeat=axes):
            moved = [corners.index(tuple(c[axis] ^ flips[axis] for axis in order)) for c in corners]
            codes = np.arange(total.size)
            turned = sum(((codes >> bit) & 1) << place for bit, place in enumerate(moved))
            total += plain[turned] + plain[total.size - 1 - turned]
            ways += 2
    sizes = total / ways
    sizes.flags.writeable = False
    return sizes


def _plain_sizes(spacing: tuple[float, ...]) -> np.ndarray:
    import numpy as np

    axes = len(spacing)
    if axes < 2:
        return np.array([0.0, 1.0, 1.0, 0.0])
    owner, pieces = _pieces(axes)
    edges = pieces * np.array(spacing)  # (pieces, corners of a piece, axes)
    if axes == 2:
        size = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=-1)
    else:
        size = np.linalg.norm(np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]), axis=-1) / 2
    return np.bincount(owner, weights=size, minlength=1 << (1 << axes))


@cache
def _pieces(axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (or segments) of every code in a cell of side 1: their codes, their corner points."""
    import numpy as np
    from skimage.measure import find_contours, marching_cubes

    owner, pieces = [], []
    count = 1 << axes
    for code in range(1, (1 << count) - 1):
        cell = np.array([(code >> bit) & 1 for bit in range(count)], float).reshape((2,) * axes)
        if axes == 3:
            points, triangles, _, _ = marching_cubes(cell, 0.5)  # type: ignore[no-untyped-call]
            found = list(points[triangles])  # (triangles, 3, 3)
        else:
            lines = find_contours(cell, 0.5)  # type: ignore[no-untyped-call]
            found = [np.array(pair) for line in lines for pair in pairwise(line)]
        owner += [code] * len(found)
        pieces += found
    return np.array(owner), np.array(pieces, float)
