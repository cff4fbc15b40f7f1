"""The instances of vertebrae and discs in a mask, numbered by level, or from below where it has no levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import present_labels, replace_labels
from autospine.labels.schemes import LabelScheme
from autospine.metrics.components import FACES, Box, component_boxes, connected_components

SMALLEST_ML = 0.5  # a component without a level that is smaller is no instance
RIM_MM = 1.5  # annotators and scanners leave so much of a slice's rim empty
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Instance:
    """The mask of one instance, in a crop.

    Attributes:
        mask: Boolean (slices, rows, columns).
        offset: Index of the crop's first voxel in the grid.
        spacing: mm along each axis.
        kind: What its label says that it is: a body, a whole vertebra, one that is partly visible, a disc.
    """

    mask: np.ndarray
    offset: tuple[int, int, int]
    spacing: Spacing
    kind: Kind

    @property
    def volume_ml(self) -> float:
        """Return the volume of its voxels."""
        return self.voxels * float(np.prod(self.spacing)) / 1000

    @property
    def voxels(self) -> int:
        """Return how many voxels it has."""
        return int(self.mask.sum())

    @property
    def pixel(self) -> float:
        """Return the greater side of a slice's pixels in mm."""
        return max(self.spacing[1:])

    @property
    def centre(self) -> np.ndarray:
        """Return its centre in grid coordinates (x, y, z), mm."""
        x, z, y = (np.argwhere(self.mask).mean(axis=0) + self.offset) * self.spacing
        return np.array([x, y, -z])

    def middle_point(self, x: float | None) -> np.ndarray:
        """Return its centre, moved to a mid-sagittal plane at x in mm if that is known."""
        centre = self.centre
        return centre if x is None else np.array([x, *centre[1:]])

    def extent(self, axis: int) -> tuple[int, int]:
        """Return its first and its last index along an axis of the whole grid."""
        occupied = np.flatnonzero(self.mask.any(axis=tuple({0, 1, 2} - {axis}))) + self.offset[axis]
        return int(occupied[0]), int(occupied[-1])

    def touches(self, shape: tuple[int, ...], axis: int) -> bool:
        """Tell whether it reaches an end of the whole grid's axis; within a slice, whether it nearly does."""
        first, last = self.extent(axis)
        rim = int(RIM_MM / self.spacing[axis]) if axis > 0 else 0
        return first <= rim or last >= shape[axis] - 1 - rim


def select(mask: np.ndarray, scheme: LabelScheme, wanted: Callable[[Anatomy], bool]) -> np.ndarray:
    """Return where a mask shows the anatomies that are wanted, boolean, the same shape."""
    present = present_labels(mask)
    if not present:
        return np.zeros(mask.shape, bool)
    chosen = [value in scheme.anatomies and wanted(scheme.anatomies[value]) for value in present]
    return replace_labels(mask, present, np.array(chosen))


def anatomies_of(mask: np.ndarray, scheme: LabelScheme, kinds: tuple[Kind, ...]) -> dict[int, Anatomy]:
    """Return the anatomy of each label of some kinds that a mask shows."""
    present = [value for value in present_labels(mask) if value in scheme.anatomies]
    return {value: scheme.anatomies[value] for value in present if scheme.anatomies[value].kind in kinds}


def has_levels(mask: np.ndarray, scheme: LabelScheme, kinds: tuple[Kind, ...]) -> bool:
    """Tell whether a mask numbers its instances of some kinds."""
    return any(anatomy.level is not None for anatomy in anatomies_of(mask, scheme, kinds).values())


def find_instances(
    mask: np.ndarray, spacing: Spacing, scheme: LabelScheme, kinds: tuple[Kind, ...], front: np.ndarray | None = None
) -> dict[int, Instance]:
    """Return the instances of some kinds by level, or by their ordinal from below where the mask has no levels.

    Args:
        mask: Integers of the scheme (slices, rows, columns).
        spacing: mm along each axis.
        scheme: What the integers mean.
        kinds: Where a level has several of these kinds, the first counts.
        front: Where the canal begins (see `canal_front`), which tells bodies apart whose arches touch.
    """
    if has_levels(mask, scheme, kinds):
        return _numbered(mask, spacing, scheme, kinds)
    shown = {anatomy.kind for anatomy in anatomies_of(mask, scheme, kinds).values()}
    kind = next((kind for kind in kinds if kind in shown), None)
    merged = select(mask, scheme, lambda anatomy: anatomy.kind is kind)
    if front is not None and kind is not Kind.BODY and merged.any():
        rows = np.flatnonzero(~np.isnan(front))
        wall = np.interp(np.arange(len(front)), rows, front[rows])
        merged = merged & (np.arange(mask.shape[2]) < wall[:, None])
    components, _ = connected_components(merged, FACES)
    if kind is None:
        return {}
    instances = [Instance(components[box] == n, offset(box), spacing, kind) for n, box in component_boxes(components)]
    large = [instance for instance in instances if instance.volume_ml >= SMALLEST_ML]
    return dict(enumerate(sorted(large, key=lambda instance: instance.centre[2]), start=1))


def _numbered(mask: np.ndarray, spacing: Spacing, scheme: LabelScheme, kinds: tuple[Kind, ...]) -> dict[int, Instance]:
    anatomies = anatomies_of(mask, scheme, kinds)
    by_level: dict[int, Anatomy] = {}
    for anatomy in sorted(anatomies.values(), key=lambda anatomy: kinds.index(anatomy.kind)):
        if anatomy.level is not None:
            by_level.setdefault(anatomy.level, anatomy)
    present = present_labels(mask)
    chosen = [value in anatomies and anatomies[value] in by_level.values() for value in present]
    numbers = [anatomies[value].level if keep else 0 for value, keep in zip(present, chosen, strict=True)]
    levels = replace_labels(mask, present, np.array(numbers, np.int32))
    return {
        level: Instance(levels[box] == level, offset(box), spacing, by_level[level].kind)
        for level, box in component_boxes(levels)
    }


def offset(box: Box) -> tuple[int, int, int]:
    """Return the index of a box's first voxel."""
    first, second, third = (part.start for part in box)
    return first, second, third


def number_discs(instances: Mapping[int, Instance], centres: Mapping[int, np.ndarray]) -> dict[int, Instance]:
    """Number discs by the vertebra above them; without vertebrae they keep their own order.

    Args:
        instances: The discs.
        centres: The vertebrae's centres by level.
    """
    if not centres:
        return dict(instances)
    numbered: dict[int, Instance] = {}
    for instance in instances.values():
        above = [level for level, centre in centres.items() if centre[2] > instance.centre[2]]
        if above:
            numbered.setdefault(min(above, key=lambda level: centres[level][2]), instance)
    return numbered
