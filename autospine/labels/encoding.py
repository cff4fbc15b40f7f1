"""The encoding: what a network learns of a data set's labels, channel by channel.

A plain encoding has one class per label. Where labels are ordered along the spine (vertebrae, discs), an encoding may
treat them as instances of one class (instance + level): the network predicts each voxel's class, the offset to the
centre of its instance and its level; `autospine.inference.levels` turns that into numbered instances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autospine.core.errors import UserError
from autospine.labels.schemes import BACKGROUND, LabelScheme

HIGHEST = 2**24  # label; a table has an entry for each
PARTIAL_ABOVE = 1.5  # intervertebral distances: with more image above the topmost label, annotation stopped early


@dataclass(frozen=True)
class SemanticClass:
    """One class of the network's soft-max.

    Attributes:
        name: What a person calls it.
        values: The data set's labels that belong to it.
        levels: Their levels from the lowest up, empty if its labels are not ordered.
    """

    name: str
    values: tuple[int, ...]
    levels: tuple[int, ...] = ()

    @property
    def ordered(self) -> bool:
        """Return whether its labels are instances numbered along the spine."""
        return bool(self.levels)


@dataclass(frozen=True)
class Encoding:
    """The output channels of a network, and how labels become targets.

    Channels are, in this order: background and `classes` (soft-max), one offset per axis of `offset_axes`, one
    logit per level of `levels`.

    Attributes:
        classes: The classes without the background.
        levels: All levels of the ordered classes, ascending; empty for a plain encoding.
        offset_axes: Canonical axes (0 slices, 1 rows, 2 columns) of the offset to the instance's centroid.
        intervertebral_distance_mm: Distance of neighbouring instances; offsets are learnt in units of it.
        partial_annotation_above: The annotation stops before the image does: what lies above the topmost instance of
            a case is neither background nor anything else.
        ignore_label: The label that marks voxels without annotation.
    """

    classes: tuple[SemanticClass, ...]
    levels: tuple[int, ...] = ()
    offset_axes: tuple[int, ...] = ()
    intervertebral_distance_mm: float = 1.0
    partial_annotation_above: bool = False
    ignore_label: int | None = None

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values) or min(self.values) < 1:
            raise ValueError("labels should be positive, each in one class")
        if max(*self.values, self.ignore_label or 0) > HIGHEST:
            raise UserError(f"label {max(self.values)}", "is too high to be learnt", f"number the labels to {HIGHEST}")
        if any(len(kind.levels) not in (0, len(kind.values)) for kind in self.classes):
            raise ValueError("an ordered class should have a level for each label")
        if not {level for kind in self.classes for level in kind.levels} <= set(self.levels):
            raise ValueError("levels should hold those of every class")
        if not set(self.offset_axes) <= {0, 1, 2} or self.intervertebral_distance_mm <= 0:
            raise ValueError("offset_axes should be 0, 1 or 2, and the intervertebral distance positive")

    def check_meanings(self, scheme: LabelScheme) -> None:
        """Raise a ValueError unless the scheme says what each label is."""
        strange = set(self.values) - set(scheme.anatomies)
        if strange:
            raise ValueError(f"label {min(strange)} has no meaning in its scheme")

    @property
    def ordered(self) -> bool:
        """Return whether levels are numbered by their order rather than classified by appearance."""
        return bool(self.levels)

    @property
    def semantic_channels(self) -> int:
        """Count the background and the classes."""
        return 1 + len(self.classes)

    @property
    def channels(self) -> int:
        """Count the output channels of the network."""
        return self.semantic_channels + len(self.offset_axes) + len(self.levels)

    @property
    def values(self) -> tuple[int, ...]:
        """Return all labels, class by class: train id k stands for `values[k - 1]`."""
        return tuple(value for kind in self.classes for value in kind.values)

    @property
    def ignore_index(self) -> int:
        """Return the train id of voxels that are not annotated."""
        return len(self.values) + 1

    def class_of_index(self) -> np.ndarray:
        """Return the class of each train id, `(values + 2,)` int64; ignored voxels have -1."""
        classes = [k for k, kind in enumerate(self.classes, start=1) for _ in kind.values]
        return np.array([BACKGROUND, *classes, -1], dtype=np.int64)

    def level_of_index(self) -> np.ndarray:
        """Return the index into `levels` of each train id, `(values + 2,)` int64; -1 where there is none."""
        levels = [level for kind in self.classes for level in (kind.levels or (None,) * len(kind.values))]
        indices = [-1 if level is None else self.levels.index(level) for level in levels]
        return np.array([-1, *indices, -1], dtype=np.int64)

    def train_ids(self, mask: np.ndarray, where: str) -> np.ndarray:
        """Convert labels to train ids, uint8 or int16, of the mask's shape.

        Raises:
            UserError: The mask holds a label that the plan does not know.
        """
        table = np.full(max([*self.values, self.ignore_label or 0, int(mask.max(initial=0))]) + 1, -1, np.int16)
        table[BACKGROUND] = 0
        table[list(self.values)] = np.arange(1, len(self.values) + 1)
        if self.ignore_label is not None:
            table[self.ignore_label] = self.ignore_index
        ids = table[mask]
        if ids.min(initial=0) < 0:
            unknown = int(mask[ids < 0].min())
            raise UserError(where, f"holds label {unknown}, which the plan does not know", "plan again")
        return ids.astype(np.uint8) if self.ignore_index < 256 else ids

    def value_at(self, semantic: int, level: int) -> int | None:
        """Return the label of a class (1-based) at a level, or None where the data set has none."""
        kind = self.classes[semantic - 1]
        return kind.values[kind.levels.index(level)] if level in kind.levels else None

    def plain(self) -> Encoding:
        """Return one class per label: levels are classified by appearance."""
        classes = tuple(SemanticClass(str(value), (value,)) for value in self.values)
        return replace(self, classes=classes, levels=(), offset_axes=(), partial_annotation_above=False)


def plain_encoding(scheme: LabelScheme, values: tuple[int, ...]) -> Encoding:
    """Encode each of the labels that the data show as a class of its own."""
    classes = tuple(SemanticClass(scheme.anatomies[value].name, (value,)) for value in values)
    return Encoding(classes, ignore_label=scheme.ignore_label)
