"""What is left out of an answer: pieces too small or too far from the spine to belong to it."""

from __future__ import annotations

import numpy as np

from autospine.inference.levels.instances import Instance
from autospine.inference.levels.spine import spine_line

FRAGMENT = 0.05  # of a structure: smaller pieces apart from the rest are noise
BESIDE = 1.3  # of the pitch: a piece of the canal that nowhere comes as near to the vertebrae's line is none
EVERY = 5  # voxels looked at for the distance


def pieces(voxels: np.ndarray) -> np.ndarray:
    """Number of the connected piece (26 neighbours) that each of `(N, 3)` voxels belongs to, `(N,)`."""
    import cc3d

    low = voxels.min(axis=0)
    box = np.zeros(voxels.max(axis=0) - low + 1, bool)
    places = tuple((voxels - low).T)
    box[places] = True
    return cc3d.connected_components(box, connectivity=26)[places]


def without_fragments(voxels: np.ndarray) -> np.ndarray:
    """An instance without the small pieces that hang together with nothing.

    Args:
        voxels: `(N, 3)`.
    """
    piece = pieces(voxels)
    large = np.bincount(piece) >= FRAGMENT * len(voxels)
    return voxels[large[piece]] if large.any() else voxels


def drop_spurious_components(
    labels: np.ndarray,
    value: int,
    spine: list[Instance],
    spacing: tuple[float, float, float],
    intervertebral_distance_mm: float,
) -> None:
    """Takes a structure's fragments and the pieces far from the spine out of `labels`.

    Args:
        labels: `(slices, rows, columns)`, changed.
        value: Of the structure.
        spine: Vertebrae, lowest first; with fewer than two only fragments go.
        spacing: mm.
        intervertebral_distance_mm: Usual distance of neighbouring vertebrae.
    """
    voxels = np.argwhere(labels == value)  # (N, 3)
    if len(voxels) == 0:
        return
    piece = pieces(voxels)
    kept = np.bincount(piece) >= FRAGMENT * len(voxels)
    if len(spine) > 1:
        nearest = np.full(len(kept), np.inf)
        np.minimum.at(nearest, piece[::EVERY], _distance_to(spine, voxels[::EVERY] * np.asarray(spacing)))
        kept &= nearest <= BESIDE * intervertebral_distance_mm
    labels[tuple(voxels[~kept[piece]].T)] = 0


def _distance_to(spine: list[Instance], points: np.ndarray) -> np.ndarray:
    """Millimetres from each of `(N, 3)` points to the line through the vertebrae, `(N,)`."""
    from scipy.spatial import cKDTree

    return cKDTree(spine_line(spine)).query(points)[0]
