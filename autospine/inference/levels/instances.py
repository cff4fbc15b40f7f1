"""Instances from votes: every voxel of a chained class points at the middle of its own instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

BIN_MM = 2.0
SMOOTHING_MM = 3.5
PEAK_DISTANCE = 0.4  # of the pitch: two middles nearer than this are one instance
REACH = 0.6  # of the pitch: a vote farther from every middle belongs to nobody
SMALLEST = 0.08  # of the median instance's volume


@dataclass(frozen=True)
class OffsetVotes:
    """What the network says of the voxels of one chained class.

    Attributes:
        voxels: `(N, 3)` int, canonical voxel indices.
        votes: `(N, axes)` float, where the middle of the voxel's instance lies, mm along the offset axes.
        levels: `(N, K)` float, probability of each level.
        weights: `(N,)` float, probability of the class.
    """

    voxels: np.ndarray
    votes: np.ndarray
    levels: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Instance:
    """One vertebra or disc before it has a number.

    Attributes:
        members: `(M,)` int, rows of the `OffsetVotes` it came from.
        centroid: mm along (slices, rows, columns) from the first voxel.
        level_evidence: `(K,)` mean log-probability of each level.
        weight: Mean probability of the class.
    """

    members: np.ndarray
    centroid: np.ndarray
    level_log_probabilities: np.ndarray
    weight: float


def find_centres(votes: np.ndarray, weights: np.ndarray, intervertebral_distance_mm: float) -> np.ndarray:
    """Peaks of the votes' density.

    Args:
        votes: `(N, axes)` mm.
        weights: `(N,)`.
        intervertebral_distance_mm: Usual distance of neighbouring instances.

    Returns:
        `(P, axes)` mm, P may be 0.
    """
    if len(votes) == 0:
        return np.zeros((0, votes.shape[1]))
    low = votes.min(axis=0) - 2 * SMOOTHING_MM
    cells = np.floor((votes - low) / BIN_MM).astype(np.int64)  # (N, axes)
    shape = tuple(cells.max(axis=0) + int(2 * SMOOTHING_MM / BIN_MM) + 2)
    flat = np.ravel_multi_index(tuple(cells.T), shape)
    density = np.bincount(flat, weights, minlength=int(np.prod(shape))).reshape(shape)
    density = ndimage.gaussian_filter(density, SMOOTHING_MM / BIN_MM)
    reach = max(int(PEAK_DISTANCE * intervertebral_distance_mm / BIN_MM), 1)
    peaks = (density == ndimage.maximum_filter(density, 2 * reach + 1)) & (density > 0)
    where = np.argwhere(peaks)
    strength = density[peaks]
    strong = strength >= 0.1 * np.median(np.sort(strength)[-5:])
    return low + (where[strong] + 0.5) * BIN_MM


def _instance(votes: OffsetVotes, members: np.ndarray, spacing: np.ndarray) -> Instance:
    weights = votes.weights[members]
    total = float(weights.sum()) or 1.0
    evidence = (np.log(np.clip(votes.levels[members], 1e-4, 1)) * weights[:, None]).sum(axis=0) / total
    centroid = (votes.voxels[members] * weights[:, None]).sum(axis=0) / total * spacing
    return Instance(members, centroid, evidence, float(weights.mean()))


def find_instances(
    votes: OffsetVotes, spacing: tuple[float, float, float], intervertebral_distance_mm: float
) -> list[Instance]:
    """Groups voxels by what they vote for, from the lowest instance up.

    Args:
        votes: Of one class.
        spacing: mm along (slices, rows, columns).
        intervertebral_distance_mm: Usual distance of neighbouring instances.
    """
    middles = find_centres(votes.votes, votes.weights, intervertebral_distance_mm)
    if len(middles) == 0:
        return []
    distance, owner = cKDTree(middles).query(votes.votes)
    owner = np.where(distance <= REACH * intervertebral_distance_mm, owner, -1)
    groups = [np.flatnonzero(owner == k) for k in range(len(middles))]
    sizes = np.array([len(group) for group in groups])
    usual = float(np.median(sizes[sizes > 0]))
    kept = [group for group in groups if len(group) > max(SMALLEST * usual, 2)]
    found = [_instance(votes, group, np.asarray(spacing)) for group in kept]
    return sorted(found, key=lambda each: -each.centroid[1])
