"""Parts of instances: posterior elements have no order of their own, they belong to the body that they vote for.

Where body and posterior elements are two classes, the offsets of both lead to the body's centre.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from autospine.inference.levels.instances import REACH, Instance, OffsetVotes
from autospine.inference.levels.spine import large_components


def voxels_by_instance(
    votes: OffsetVotes, instances: Sequence[Instance], offset_axes: Sequence[int], intervertebral_distance_mm: float
) -> list[np.ndarray]:
    """Give each voxel of a part to the instance whose centre its vote is nearest to.

    Args:
        votes: Of the part's class.
        instances: All of the class that it is part of, those that are left out of the spine included: what belongs to
            one of them belongs to no other.
        offset_axes: Of the votes.
        intervertebral_distance_mm: Usual distance of neighbours; votes farther than `REACH` from all centres belong to
            none.

    Returns:
        `(M, 3)` voxels of each instance.
    """
    if not instances:
        return []
    centres = np.array([instance.centroid for instance in instances])[:, list(offset_axes)]  # (P, axes)
    reach = REACH * intervertebral_distance_mm
    _, nearest = cKDTree(centres).query(votes.votes, distance_upper_bound=reach)  # (N,), P where there is none
    return [votes.voxels[nearest == k] for k in range(len(instances))]


def without_strays(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return a part's `(M, 3)` voxels without the small components of part and `(N, 3)` rest together."""
    return part[large_components(np.concatenate([part, whole]))[: len(part)]]
