"""The encoding: what a network learns of a data set's labels, channel by channel.

Labels become train ids: 0 background, one for each label, the ignored voxels, then those that say less: one for each
merged label, which is one of several classes, and one for the background of each source, where what the source does not
annotate may hide. `Encoding.members` says which classes a voxel of a train id may be.

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
        levels: Their levels from the lowest up, empty if its labels have none.
        part_of: The name of the ordered class whose instances number it, as bodies number posterior elements.
    """

    name: str
    values: tuple[int, ...]
    levels: tuple[int, ...] = ()
    part_of: str = ""

    @property
    def ordered(self) -> bool:
        """Return whether its labels are instances numbered along the spine by their own order."""
        return bool(self.levels) and not self.part_of


@dataclass(frozen=True)
class MergedLabel:
    """A label that says less than a class: a whole vertebra, where others tell its body from the rest."""

    value: int  # the label
    classes: tuple[int, ...]  # 1-based classes, one of which each of its voxels is
    level: int | None = None  # None where it is not told


@dataclass(frozen=True)
class SourceAnnotation:
    """What the background of one source may hide."""

    name: str  # of the source
    unannotated: tuple[int, ...] = ()  # 1-based classes that it does not label
    partial_annotation_above: bool = False  # as of the encoding, for this source


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
        merged: Labels that stand for one of several classes.
        sources: What each source leaves unannotated; empty where all cases are annotated alike.
    """

    classes: tuple[SemanticClass, ...]
    levels: tuple[int, ...] = ()
    offset_axes: tuple[int, ...] = ()
    intervertebral_distance_mm: float = 1.0
    partial_annotation_above: bool = False
    ignore_label: int | None = None
    merged: tuple[MergedLabel, ...] = ()
    sources: tuple[SourceAnnotation, ...] = ()

    def __post_init__(self) -> None:
        labels = self.labels
        if not self.values or len(set(labels)) < len(labels) or min(labels) < 1:
            raise ValueError("labels should be positive, each in one class")
        self._check_partial()
        if max(*labels, self.ignore_label or 0) > HIGHEST:
            raise UserError(f"label {max(self.values)}", "is too high to be learnt", f"number the labels to {HIGHEST}")
        if any(len(kind.levels) not in (0, len(kind.values)) for kind in self.classes):
            raise ValueError("an ordered class should have a level for each label")
        if not {level for kind in self.classes for level in kind.levels} <= set(self.levels):
            raise ValueError("levels should hold those of every class")
        if not set(self.offset_axes) <= {0, 1, 2} or self.intervertebral_distance_mm <= 0:
            raise ValueError("offset_axes should be 0, 1 or 2, and the intervertebral distance positive")

    def _check_partial(self) -> None:
        numbers = range(1, len(self.classes) + 1)
        if any(not label.classes or not set(label.classes) <= set(numbers) for label in self.merged):
            raise ValueError("a merged label should stand for classes")
        if not {label.level for label in self.merged} <= {None, *self.levels}:
            raise ValueError("levels should hold those of every merged label")
        if any(not set(source.unannotated) <= set(numbers) for source in self.sources):
            raise ValueError("a source should leave classes unannotated")
        if len({source.name for source in self.sources}) < len(self.sources):
            raise ValueError("sources should have names of their own")
        if not {kind.part_of for kind in self.classes} <= {"", *(kind.name for kind in self.classes if kind.ordered)}:
            raise ValueError("a class should be part of an ordered one")

    def check_meanings(self, scheme: LabelScheme) -> None:
        """Raise a ValueError unless the scheme says what each label is."""
        strange = set(self.labels) - set(scheme.anatomies)
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
    def labels(self) -> tuple[int, ...]:
        """Return the labels of all classes, then the merged ones."""
        return (*self.values, *(label.value for label in self.merged))

    @property
    def partial(self) -> bool:
        """Return whether some voxels are only known to be one of several classes."""
        return bool(self.merged) or any(source.unannotated for source in self.sources)

    @property
    def ignore_index(self) -> int:
        """Return the train id of voxels that are not annotated."""
        return len(self.values) + 1

    @property
    def train_id_count(self) -> int:
        """Count the train ids."""
        return self.ignore_index + 1 + len(self.merged) + len(self.sources)

    def id_of_label(self) -> dict[int, int]:
        """Return the train id of each label, merged ones included."""
        ids = (*range(1, self.ignore_index), *range(self.ignore_index + 1, self.train_id_count))
        return dict(zip(self.labels, ids, strict=False))

    def centred_elsewhere(self) -> set[int]:
        """Return the labels that are centred at the body of their vertebra: whole vertebrae and posterior elements."""
        parts = {value for kind in self.classes if kind.part_of for value in kind.values}
        return parts | {label.value for label in self.merged if len(label.classes) > 1}

    def background_of(self, source: str) -> int:
        """Return the train id of the background of a source: 0 where it annotates all classes.

        Raises:
            ValueError: The encoding has sources, and none of this name.
        """
        if not self.sources:
            return BACKGROUND
        names = [annotation.name for annotation in self.sources]
        k = names.index(source)
        return self.ignore_index + 1 + len(self.merged) + k if self.sources[k].unannotated else BACKGROUND

    def stops_early(self, source: str) -> bool:
        """Return whether the annotation of a source stops before the image does."""
        stops = {annotation.name: annotation.partial_annotation_above for annotation in self.sources}
        return stops.get(source, self.partial_annotation_above)

    def class_of_index(self) -> np.ndarray:
        """Return the class of each train id, `(train ids,)` int64; -1 where ignored or not told from others."""
        table = np.full(self.train_id_count, -1, np.int64)
        table[: self.ignore_index] = [BACKGROUND, *(k for k, kind in enumerate(self.classes, 1) for _ in kind.values)]
        return table

    def level_of_index(self) -> np.ndarray:
        """Return the index into `levels` of each train id, `(train ids,)` int64; -1 where there is none."""
        told = [level for kind in self.classes for level in (kind.levels or (None,) * len(kind.values))]
        levels = [None, *told, None, *(label.level for label in self.merged), *(None for _ in self.sources)]
        return np.array([-1 if level is None else self.levels.index(level) for level in levels], dtype=np.int64)

    def members(self) -> np.ndarray:
        """Return the classes, 0 the background, that a voxel of each train id may be, `(train ids, classes + 1)` bool.

        None for ignored voxels.
        """
        table = np.zeros((self.train_id_count, self.semantic_channels), bool)
        classes = self.class_of_index()
        told = np.flatnonzero(classes >= 0)
        table[told, classes[told]] = True
        sets = (*(label.classes for label in self.merged), *((BACKGROUND, *s.unannotated) for s in self.sources))
        for k, possible in enumerate(sets, start=self.ignore_index + 1):
            table[k, list(possible)] = True
        return table

    def train_ids(self, mask: np.ndarray, where: str, source: str = "") -> np.ndarray:
        """Convert labels to train ids, uint8 or int16, of the mask's shape.

        Args:
            mask: Labels, any shape.
            where: The file that an error names.
            source: Whose mask it is, where the encoding has sources.

        Raises:
            UserError: The mask holds a label that the plan does not know.
        """
        table = np.full(max([*self.labels, self.ignore_label or 0, int(mask.max(initial=0))]) + 1, -1, np.int16)
        table[BACKGROUND] = self.background_of(source)
        ids_of = self.id_of_label()
        table[list(ids_of)] = list(ids_of.values())
        if self.ignore_label is not None:
            table[self.ignore_label] = self.ignore_index
        ids = table[mask]
        if ids.min(initial=0) < 0:
            unknown = int(mask[ids < 0].min())
            raise UserError(where, f"holds label {unknown}, which the plan does not know", "plan again")
        return ids.astype(np.uint8) if self.train_id_count <= 256 else ids

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
