"""Distances between two surfaces in true millimetres, weighted by area.

A mask's surface passes through the cells between voxel centres: 2 x 2 x 2 voxels whose values differ. A
cell has the area that marching cubes gives its pattern at the image's spacing, so coarse slices weigh as they
should (the idea of Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy",
section on surface Dice). Distances are taken between cell centres. A volume of one slice has a contour
instead: lengths, not areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, permutations, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Surfaces:
    """Distances from each surface element to the other surface, in mm, with the elements' areas.

    Attributes:
        to_reference: (n,) mm, from the prediction's elements.
        to_prediction: (m,) mm, from the reference's elements.
        prediction_area: (n,) mm2 (mm for a volume of one slice).
        reference_area: (m,) the same.
    """

    to_reference: np.ndarray
    to_prediction: np.ndarray
    prediction_area: np.ndarray
    reference_area: np.ndarray


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """The image's diagonal in mm: the distance that stands for a surface that is not there."""
    return float(sum((n * mm) ** 2 for n, mm in zip(shape, spacing, strict=True)) ** 0.5)


def surfaces(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> Surfaces | None:
    """Measures both ways between the surfaces of two masks.

    Args:
        prediction: Boolean (slices, rows, columns). What leaves the array counts as outside.
        reference: The same, same shape.
        spacing: mm along each axis.

    Returns:
        The distances, or None if either mask is empty.
    """
    import numpy as np

    box = bounding_box(prediction | reference)
    if box is None or not prediction.any() or not reference.any():
        return None
    axes = tuple(axis for axis, size in enumerate(prediction.shape) if size > 1)
    squeezed = tuple(slice(None) if axis in axes else 0 for axis in range(prediction.ndim))
    steps = tuple(float(spacing[axis]) for axis in axes)
    codes = [_codes(np.pad(mask[box][squeezed], 1)) for mask in (prediction, reference)]
    inside = (1 << (1 << len(axes))) - 1  # the code of a cell wholly inside
    edges = [(code != 0) & (code != inside) for code in codes]
    sizes = element_sizes(steps)
    predicted, annotated = (sizes[code[edge]] for code, edge in zip(codes, edges, strict=True))
    return Surfaces(
        _distances(edges[0], edges[1], steps), _distances(edges[1], edges[0], steps), predicted, annotated
    )


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds every True voxel, or None."""
    import numpy as np

    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if found.size == 0:
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(box)


def _codes(mask: np.ndarray) -> np.ndarray:
    """One bit per corner of each cell: (n + 1, ...) for a mask of (n + 2, ...), padding included."""
    import numpy as np

    code = np.zeros([size - 1 for size in mask.shape], np.uint8)
    for bit, corner in enumerate(product((0, 1), repeat=mask.ndim)):
        window = tuple(slice(c, size - 1 + c) for c, size in zip(corner, mask.shape, strict=True))
        code |= mask[window].astype(np.uint8) << bit
    return code


def _distances(start: np.ndarray, goal: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """From every True cell of `start` to the nearest of `goal`, in mm."""
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~goal, sampling=spacing)[start])


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


def average_distance(between: Surfaces) -> float:
    """Average symmetric surface distance in mm: the mean of both directed area-weighted means."""
    import numpy as np

    there = np.average(between.to_reference, weights=between.prediction_area)
    back = np.average(between.to_prediction, weights=between.reference_area)
    return float(there + back) / 2


def hausdorff_distance(between: Surfaces, percentile: float = 100) -> float:
    """The larger of both directed percentiles of the distances in mm, by area.

    Args:
        between: The surfaces.
        percentile: 100 for the maximum, 95 for HD95.
    """
    return max(
        _percentile(between.to_reference, between.prediction_area, percentile),
        _percentile(between.to_prediction, between.reference_area, percentile),
    )


def _percentile(distances: np.ndarray, areas: np.ndarray, percentile: float) -> float:
    """The smallest distance within which lies that share of the area."""
    import numpy as np

    if percentile >= 100:
        return float(distances.max())
    order = np.argsort(distances)
    covered = np.cumsum(areas[order])
    place = np.searchsorted(covered, covered[-1] * percentile / 100 * (1 - 1e-12))
    return float(distances[order][min(int(place), len(order) - 1)])
