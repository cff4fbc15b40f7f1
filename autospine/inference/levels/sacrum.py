"""The sacrum as evidence: how far below the lowest vertebra it begins tells whether that is the first level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autospine.inference.levels.instances import Instance
from autospine.inference.levels.spine import components_of
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.encoding import Encoding

SACRUM = Anatomy(Kind.SACRUM).name
SLAB_MM = 8.0  # to either side of the lowest centre's slice: there the sacrum is S1's endplate, not its processes
NEAREST = 5  # percentile of the sacrum's distances from a centre: a few stray voxels are not its top
SMALLEST = 0.25  # of the usual vertebra's size: less is no sacrum to count on
NEIGHBOURS, CLIP = 3, (0.75, 1.35)  # lowest distances that the spine's own is taken from, shares of the data set's
# In intervertebral distances, measured on 36 scans with S1 or L5 in the sacrum's place:
ADJACENT = 0.68  # from the centre right above the sacrum to its top, 0.50 to 0.90
EACH = 0.94  # more for each vertebra that is missing between, 0.88 to 1.0
SEGMENT = 0.45  # from S1's centre, where S1 was taken for a vertebra, to the rest of the sacrum
SPREAD = 0.15  # standard deviation
FARTHEST = 3.5  # no spine has so much room above its sacrum
PIECE, PIECE_SIZE = 0.33, 0.6  # so near to the sacrum, and so much smaller than usual, an instance is a piece of it
# Likelihoods, beside the 1 of the distance that fits best:
SEGMENT_TAKEN = 0.05  # that S1 is a vertebra and the rest a sacrum to the network
ELSEWHERE = 0.002  # that the sacrum is where nothing explains it


@dataclass(frozen=True)
class Sacrum:
    """A sacrum below the lowest vertebra."""

    top: np.ndarray  # (3,) mm along (slices, rows, columns)
    reach: float  # from the lowest vertebra's centre to the top, in intervertebral distances
    above_an_instance: bool = False  # something that looks like a vertebra lies below it

    @property
    def missing(self) -> int:
        """Count the vertebrae that fit between the lowest one and the sacrum."""
        return max(round((self.reach - ADJACENT) / EACH), 0)

    def likelihood(self, level: int) -> float:
        """Return how well it fits that the lowest vertebra has a level, `ELSEWHERE` to 1; 0 is S1's level."""
        expected, weight = (ADJACENT + EACH * (level - 1), 1.0) if level >= 1 else (SEGMENT, SEGMENT_TAKEN)
        return max(weight * float(np.exp(-0.5 * ((self.reach - expected) / SPREAD) ** 2)), ELSEWHERE)

    def as_instance(self, lowest: Instance) -> Instance:
        """Return S1 as an instance at its usual place, for the levels of the discs above it."""
        step = self.top - lowest.centroid
        return replace(lowest, centroid=lowest.centroid + step * (1 + (EACH - ADJACENT) / max(self.reach, 0.1)))


def find_sacrum(
    labels: np.ndarray,
    encoding: Encoding,
    spine: list[Instance],
    spacing: tuple[float, float, float],
    intervertebral_distance_mm: float,
) -> tuple[list[Instance], Sacrum | None]:
    """Find the sacrum below a spine.

    Args:
        labels: `(slices, rows, columns)`, the plain classes painted.
        encoding: Of the labels.
        spine: Vertebrae, lowest first, at least one.
        spacing: mm.
        intervertebral_distance_mm: Usual distance of neighbours in the data set.

    Returns:
        The vertebrae above the sacrum, without pieces of it and what lies below it; the sacrum, None where the encoding
        has none, where the data set does not label the vertebra above it, or where the labels show none to count on.
    """
    values = [kind.values[0] for kind in encoding.classes if kind.name == SACRUM]
    if not values or encoding.levels[0] != 1:
        return spine, None
    voxels = np.argwhere(labels == values[0])  # (N, 3)
    if not len(voxels):
        return spine, None
    components = components_of(voxels)
    points = voxels[components == np.bincount(components).argmax()] * np.asarray(spacing)  # (N, 3) mm
    usual = float(np.median([len(vertebra.members) for vertebra in spine]))
    if len(points) < SMALLEST * usual:
        return spine, None
    below = len(spine) > 2 and _lies_between(points.mean(axis=0), spine[0].centroid, spine[1].centroid)
    spine = spine[1:] if below else spine
    distance_mm = own_distance(spine, intervertebral_distance_mm)
    top, reach = _top(points, spine[0], distance_mm)
    if len(spine) > 2 and reach < PIECE and len(spine[0].members) < PIECE_SIZE * usual:
        spine = spine[1:]
        top, reach = _top(points, spine[0], distance_mm)
    if reach > FARTHEST or top[1] <= spine[0].centroid[1]:
        return spine, None
    return spine, Sacrum(top, reach, below)


def own_distance(spine: list[Instance], intervertebral_distance_mm: float) -> float:
    """Return the distance in mm of neighbours at the lower end of a spine; the data set's where it shows none."""
    centres = np.array([vertebra.centroid for vertebra in spine[: NEIGHBOURS + 1]])  # (N, 3)
    distances = np.sort(np.linalg.norm(np.diff(centres, axis=0), axis=1))  # with a missing one, the lower of two
    own = distances[(len(distances) - 1) // 2] if len(distances) else intervertebral_distance_mm
    return float(np.clip(own / intervertebral_distance_mm, *CLIP)) * intervertebral_distance_mm


def _lies_between(point: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> bool:
    line = upper - lower
    return bool(0 < (point - lower) @ line < line @ line)


def _top(points: np.ndarray, vertebra: Instance, intervertebral_distance_mm: float) -> tuple[np.ndarray, float]:
    """Return the point of the sacrum that is nearest to a vertebra, and its distance from that one's centre."""
    beside = np.abs(points[:, 0] - vertebra.centroid[0]) <= SLAB_MM
    points = points[beside] if beside.any() else points
    distances = np.linalg.norm(points - vertebra.centroid, axis=1)
    nearest = int(np.argsort(distances)[len(distances) * NEAREST // 100])
    return points[nearest], float(distances[nearest]) / intervertebral_distance_mm
