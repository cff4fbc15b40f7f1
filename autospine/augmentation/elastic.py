"""Smooth in-plane displacement that never folds, of pixels and of points.

The field is a uniform cubic B-spline on a lattice of nodes. Its slope along an axis is at most 1.5 times the nodes'
largest displacement over their distance. With a quarter of the distance as the limit, pixel + displacement therefore
never folds (Choi and Lee 2000 allow 0.48) and can be inverted by repeating x = y - displacement(x).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LIMIT = 0.25  # largest displacement of a node, as a share of the nodes' distance
BORDER = 3  # nodes more than intervals, so that the spline covers the edges
REPEATS = 10  # of the inversion; each leaves at most three quarters of the error, half of it by default


def intervals(size: int, pixel_mm: float, distance_mm: float) -> int:
    """Count the intervals between nodes along an axis, none shorter than `distance_mm` unless the image is."""
    return max(int(size * pixel_mm / distance_mm), 1)


def largest_mm(size: int, pixel_mm: float, distance_mm: float, amplitude_mm: float) -> float:
    """Return a node's largest displacement: the amplitude, or less where a small image brings the nodes together."""
    between = size * pixel_mm / intervals(size, pixel_mm, distance_mm)
    return min(amplitude_mm, LIMIT * between)


def spline_weights(position: Tensor, nodes: int) -> Tensor:
    """Compute the weights of the nodes, adding up to one.

    Args:
        position: Along the axis, in intervals from the image's edge; beyond the edges the field goes on as it is there.
        nodes: Of the axis.

    Shape:
        (...) to (..., nodes).
    """
    position = position.clamp(0, nodes - BORDER)[..., None]
    away = (position - torch.arange(-1, nodes - 1, device=position.device)).abs()
    near = 2 / 3 - away.square() * (1 - away / 2)
    far = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, far)


def displacement(nodes: Tensor, size: Sequence[int]) -> Tensor:
    """Compute the field at every pixel, (row, column) voxels: nodes (b, 2, R, C), size (H, W); result (b, 2, H, W)."""
    rows, columns = (
        spline_weights((torch.arange(length, device=nodes.device) + 0.5) / length * (count - BORDER), count)
        for length, count in zip(size, nodes.shape[-2:], strict=True)
    )
    return rows @ nodes @ columns.T


def displacement_at(nodes: Tensor, size: Sequence[int], points: Tensor) -> Tensor:
    """Compute the field of nodes (B, 2, R, C) at points (B, N, 2), both (row, column) voxels of (H, W)."""
    rows, columns = (
        spline_weights((points[..., axis] + 0.5) / size[axis] * (nodes.shape[2 + axis] - BORDER), count)
        for axis, count in enumerate(nodes.shape[-2:])
    )  # (B, N, R) and (B, N, C)
    return torch.einsum("bnr,barc,bnc->bna", rows, nodes, columns)


def invert(nodes: Tensor, size: Sequence[int], points: Tensor) -> Tensor:
    """Find the x (B, N, 2) with x + displacement(x) = point, by fixed-point iteration; nodes (B, 2, R, C)."""
    source = points
    for _ in range(REPEATS):
        source = points - displacement_at(nodes, size, source)
    return source
