"""What belongs to the spine: the best sequence of vertebrae, discs and canal near it, no spurious components.

Whatever else looks like a vertebra (an organ's edge, noise in the air) lies beside that sequence and is left out.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from autospine.inference.levels.instances import Instance
from autospine.metrics.components import connected_components

# In intervertebral distances:
NEAREST, FARTHEST = 0.45, 3.6  # two neighbours, or two with vertebrae missing in between
DISC_DISTANCE = 0.9  # a disc farther from the vertebrae's line belongs to none
STRUCTURE_DISTANCE = 1.3  # a component of the canal that nowhere comes as near to the vertebrae's line is spurious
STEEP = 0.5  # share of a distance that goes along the rows
MISSING = 0.5  # cost of one intervertebral distance without an instance, in usual instances
FRAGMENT = 0.05  # of a structure: smaller components are noise
EVERY = 5  # voxels tried for the distance


def vertebra_sequence(instances: list[Instance], intervertebral_distance_mm: float) -> list[Instance]:
    """Return the instances that form the spine, lowest first: the heaviest sequence, by dynamic programming."""
    if len(instances) < 2:
        return instances
    sizes = np.array([len(instance.members) * instance.weight for instance in instances])
    worth = np.minimum(sizes / np.median(sizes), 1.0)
    best, before = worth.copy(), [-1] * len(instances)
    for upper in range(len(instances)):
        for lower in range(upper):
            cost = step_cost(instances[lower].centroid, instances[upper].centroid, intervertebral_distance_mm)
            if cost is not None and best[lower] + worth[upper] - cost > best[upper]:
                best[upper], before[upper] = best[lower] + worth[upper] - cost, lower
    sequence, k = [], int(best.argmax())
    while k >= 0:
        sequence.append(instances[k])
        k = before[k]
    return sequence[::-1]


def step_cost(lower: np.ndarray, upper: np.ndarray, intervertebral_distance_mm: float) -> float | None:
    """Return the cost of going from one centre to the next, None where no spine goes.

    Args:
        lower: mm along (slices, rows, columns).
        upper: The same, of the one above.
        intervertebral_distance_mm: Usual distance.
    """
    step = lower - upper
    distance = float(np.linalg.norm(step))
    low, high = NEAREST * intervertebral_distance_mm, FARTHEST * intervertebral_distance_mm
    if not low <= distance <= high or step[1] < STEEP * distance:
        return None
    relative = distance / intervertebral_distance_mm
    return MISSING * max(relative - 1.4, 0.0) + 0.3 * max(0.7 - relative, 0.0)


def spine_line(spine: list[Instance]) -> np.ndarray:
    """Return points `(M, 3)` mm along the vertebrae's centres and one distance beyond either end."""
    line = np.array([vertebra.centroid for vertebra in spine])  # (N, 3)
    if len(line) > 1:
        line = np.concatenate([[2 * line[0] - line[1]], line, [2 * line[-1] - line[-2]]])
    steps = np.linspace(0, len(line) - 1, 8 * len(line))
    return np.stack([np.interp(steps, np.arange(len(line)), column) for column in line.T], axis=1)


def beside_the_spine(instance: Instance, spine: list[Instance], intervertebral_distance_mm: float) -> bool:
    """Tell whether an instance of another class (a disc) lies too far from the spine's line to belong to it."""
    distances = np.linalg.norm(spine_line(spine) - instance.centroid, axis=1)
    return float(distances.min()) > DISC_DISTANCE * intervertebral_distance_mm


def components_of(voxels: np.ndarray) -> np.ndarray:
    """Return the number of the connected component (26 neighbours) of each of `(N, 3)` voxels, `(N,)`."""
    low = voxels.min(axis=0)
    box = np.zeros(voxels.max(axis=0) - low + 1, bool)
    indices = tuple((voxels - low).T)
    box[indices] = True
    return connected_components(box)[0][indices]


def large_components(voxels: np.ndarray) -> np.ndarray:
    """Return which of at least one `(N, 3)` voxels are not in a small component, `(N,)` bool; all where all are."""
    components = components_of(voxels)
    large = np.bincount(components) >= FRAGMENT * len(voxels)
    return large[components] if large.any() else np.ones(len(voxels), bool)


def without_fragments(voxels: np.ndarray) -> np.ndarray:
    """Return an instance's `(N, 3)` voxels without its small components."""
    return voxels[large_components(voxels)]


def drop_spurious_components(
    labels: np.ndarray,
    value: int,
    spine: list[Instance],
    spacing: tuple[float, float, float],
    intervertebral_distance_mm: float,
) -> None:
    """Remove a structure's fragments and the components far from the spine from `labels`, in place.

    Args:
        labels: `(slices, rows, columns)`.
        value: Of the structure.
        spine: Vertebrae, lowest first; with fewer than two only fragments go.
        spacing: mm.
        intervertebral_distance_mm: Usual distance of neighbouring vertebrae.
    """
    voxels = np.argwhere(labels == value)  # (N, 3)
    if len(voxels) == 0:
        return
    components = components_of(voxels)
    kept = np.bincount(components) >= FRAGMENT * len(voxels)
    if len(spine) > 1:
        distances, _ = cKDTree(spine_line(spine)).query(voxels[::EVERY] * np.asarray(spacing))
        nearest = np.full(len(kept), np.inf)
        np.minimum.at(nearest, components[::EVERY], distances)
        kept &= nearest <= STRUCTURE_DISTANCE * intervertebral_distance_mm
    labels[tuple(voxels[~kept[components]].T)] = 0
