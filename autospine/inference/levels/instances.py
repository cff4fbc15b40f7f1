"""Instances from offset votes: every voxel of an ordered class votes for the centre of its own instance.

Offsets to instance centres, grouped by the nearest peak, as in Panoptic-DeepLab (Cheng et al., CVPR 2020); the peaks
are those of the votes' density rather than of a heat map that a network predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

BIN_MM = 2.0
SMOOTHING_MM = 3.5
PEAK_DISTANCE = 0.4  # intervertebral distances: two centres nearer than this are one instance
REACH = 0.6  # intervertebral distances: a vote farther from every centre belongs to no instance
SMALLEST = 0.08  # of the median instance's volume


@dataclass(frozen=True)
class OffsetVotes:
    """Network output at the voxels of one ordered class."""

    voxels: np.ndarray  # `(N, 3)` int, canonical voxel indices
    votes: np.ndarray  # `(N, axes)` float, centre of the voxel's instance, mm along the offset axes
    levels: np.ndarray  # `(N, K)` float, probability of each level
    weights: np.ndarray  # `(N,)` float, probability of the class


@dataclass(frozen=True)
class Instance:
    """One vertebra or disc before it has a level."""

    members: np.ndarray  # `(M,)` int, rows of the `OffsetVotes` that it was made of
    centroid: np.ndarray  # mm along (slices, rows, columns) from the first voxel
    level_log_probabilities: np.ndarray  # `(K,)` mean log-probability of each level
    weight: float  # mean probability of the class


def find_centres(votes: np.ndarray, weights: np.ndarray, intervertebral_distance_mm: float) -> np.ndarray:
    """Find the peaks of the density of `(N, axes)` votes in mm, `(P, axes)` mm; P may be 0."""
    if len(votes) == 0:
        return np.zeros((0, votes.shape[1]))
    low = votes.min(axis=0) - 2 * SMOOTHING_MM
    bins = np.floor((votes - low) / BIN_MM).astype(np.int64)  # (N, axes)
    shape = tuple(bins.max(axis=0) + int(2 * SMOOTHING_MM / BIN_MM) + 2)
    flat = np.ravel_multi_index(tuple(bins.T), shape)
    density = np.bincount(flat, weights, minlength=int(np.prod(shape))).reshape(shape)
    density = ndimage.gaussian_filter(density, SMOOTHING_MM / BIN_MM)
    reach = max(int(PEAK_DISTANCE * intervertebral_distance_mm / BIN_MM), 1)
    peaks = (density == ndimage.maximum_filter(density, 2 * reach + 1)) & (density > 0)
    heights = density[peaks]
    high = heights >= 0.1 * np.median(np.sort(heights)[-5:])
    return low + (np.argwhere(peaks)[high] + 0.5) * BIN_MM


def find_instances(
    votes: OffsetVotes, spacing: tuple[float, float, float], intervertebral_distance_mm: float
) -> list[Instance]:
    """Group voxels by the centre that they vote for; return instances from the lowest up."""
    centres = find_centres(votes.votes, votes.weights, intervertebral_distance_mm)
    if len(centres) == 0:
        return []
    distance, nearest = cKDTree(centres).query(votes.votes)
    nearest = np.where(distance <= REACH * intervertebral_distance_mm, nearest, -1)
    groups = [np.flatnonzero(nearest == k) for k in range(len(centres))]
    sizes = np.array([len(group) for group in groups])
    smallest = max(SMALLEST * float(np.median(sizes[sizes > 0])), 2)
    instances = [_instance(votes, group, np.asarray(spacing)) for group in groups if len(group) > smallest]
    return sorted(instances, key=lambda instance: -instance.centroid[1])


def _instance(votes: OffsetVotes, members: np.ndarray, spacing: np.ndarray) -> Instance:
    weights = votes.weights[members]
    total = float(weights.sum()) or 1.0
    levels = (np.log(np.clip(votes.levels[members], 1e-4, 1)) * weights[:, None]).sum(axis=0) / total
    centroid = (votes.voxels[members] * weights[:, None]).sum(axis=0) / total * spacing
    return Instance(members, centroid, levels, float(weights.mean()))
