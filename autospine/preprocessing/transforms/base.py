"""Preprocessing transforms that a recipe lists on top of its plan: applied before training, replayed by prediction.

A transform is a frozen dataclass with `apply` and `inverse`, or with `for_case` if it must look at the case first. Its
name and numbers stand in the recipe and in model.json.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.preprocessing.storage import CaseStore, describe_labels
from autospine.preprocessing.transforms.log import (
    SummarisedTransform,
    TransformTable,
    read_case_tables,
    write_case_table,
    write_table,
)

if TYPE_CHECKING:
    from autospine.labels.schemes import LabelScheme
    from autospine.reconstruction.grid import SliceGrid
    from autospine.training.trainer import Trainer


log = logging.getLogger(__name__)
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class TransformSettings:
    """One named preprocessing step and its numbers.

    Attributes:
        name: In the group "transforms" of `autospine.core.registry`.
        settings: Its arguments.
    """

    name: str
    settings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelSet:
    """What the integers of masks mean.

    Attributes:
        scheme: Their meaning.
        shown: Those that the data set shows.
    """

    scheme: LabelScheme
    shown: tuple[int, ...]


@dataclass(frozen=True)
class CaseData:
    """A case between two steps.

    Attributes:
        image: `(channels, slices, rows, columns)` float32.
        mask: `(slices, rows, columns)` labels; None in prediction.
        spacing: mm along (slices, rows, columns).
        slices: Slices along the view axis that take part in training; None for all.
        view_axis: The plan's; None for volumes.
        slice_grid: Which slices were measured, where the plan has interpolated those between; None elsewhere.
        scheme: What the mask's integers mean; None where it has none.
        labels: Those that the data set shows.
        tables: What the steps so far report of what they did.
        id: Of the case, for errors; empty in prediction.
    """

    image: np.ndarray
    mask: np.ndarray | None
    spacing: tuple[float, float, float]
    slices: tuple[int, ...] | None = None
    view_axis: int | None = 0
    slice_grid: SliceGrid | None = None
    scheme: LabelScheme | None = None
    labels: tuple[int, ...] = ()
    tables: tuple[TransformTable, ...] = ()
    id: str = ""

    @property
    def shape(self) -> Shape:
        """Voxels along (slices, rows, columns)."""
        size = self.image.shape[1:]
        return (size[0], size[1], size[2])


@runtime_checkable
class Transform(Protocol):
    """What a step offers that does the same to every case."""

    def apply(self, case: CaseData) -> CaseData:
        """The case after the step."""

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Brings a network's answer back.

        Args:
            values: `(channels, slices, rows, columns)` on the grid after the step.
            shape: Of the grid before it.
            fill: `(channels,)` what stands where the step cut something off.
        """


@runtime_checkable
class CaseTransform(Protocol):
    """What a step offers that looks at the case before it knows what to do."""

    def for_case(self, case: CaseData) -> Transform:
        """What the step does to this case."""


@runtime_checkable
class RelabellingTransform(Protocol):
    """What a step offers that derives other labels: answers are scored against masks that it relabels, too."""

    def labelling(self, before: LabelSet) -> LabelSet:
        """What masks hold after the step.

        Raises:
            UserError: The step needs labels that the data set does not show.
        """

    def relabel(self, mask: np.ndarray, before: LabelSet, where: str | Path) -> np.ndarray:
        """A mask of any grid, `(slices, rows, columns)`, in the labels after the step."""


AnyTransform = Transform | CaseTransform
AppliedTransforms = tuple[tuple[Transform, Shape], ...]  # what was done to a case, and the grid before each


def make_transforms(settings: tuple[TransformSettings, ...]) -> list[AnyTransform]:
    """The steps of a recipe.

    Raises:
        UserError: An unknown step, or a number that it does not take.
    """
    steps: list[AnyTransform] = []
    for each in settings:
        kind = registry.load("transforms", each.name)
        known = sorted(field.name for field in fields(kind))
        unknown = sorted(set(each.settings) - set(known))
        if unknown:
            raise UserError(f"step {each.name}", f"does not take {unknown[0]}", f"use {', '.join(known)}")
        steps.append(_make(kind, each))
    return steps


def _make(kind: type, settings: TransformSettings) -> AnyTransform:
    try:
        return kind(**settings.settings)  # the names were checked
    except (TypeError, ValueError) as error:
        raise UserError(f"step {settings.name}", str(error), "correct the recipe") from error


def apply_transforms(steps: Sequence[AnyTransform], case: CaseData) -> tuple[CaseData, AppliedTransforms]:
    """Applies steps in order; gives what was done as well, which the way back needs."""
    way = []
    for each in steps:
        step = each if isinstance(each, Transform) else each.for_case(case)
        way.append((step, case.shape))
        case = step.apply(case)
    return case, tuple(way)


def invert_transforms(way: AppliedTransforms, values: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """The way back, last step first.

    Args:
        way: Of `apply_transforms`.
        values: `(channels, slices, rows, columns)` on the grid after the last step.
        fill: `(channels,)` what stands where a step cut something off.
    """
    for step, shape in reversed(way):
        values = step.inverse(values, shape, fill)
    return values


def relabelling(steps: Sequence[AnyTransform], before: LabelSet) -> LabelSet:
    """What masks hold after all steps; as before where none of them derives other labels."""
    for step in steps:
        if isinstance(step, RelabellingTransform):
            before = step.labelling(before)
    return before


def relabel(
    steps: Sequence[AnyTransform], mask: np.ndarray, before: LabelSet, where: str | Path = "mask"
) -> np.ndarray:
    """A mask in the labels after all steps, on its own grid and otherwise untouched.

    Args:
        steps: Of a recipe.
        mask: `(slices, rows, columns)` canonical.
        before: What it holds.
        where: The file that an error names.
    """
    for step in steps:
        if isinstance(step, RelabellingTransform):
            mask, before = step.relabel(mask, before, where), step.labelling(before)
    return mask


def prepared_folder(trainer: Trainer, cases: Path, ids: tuple[str, ...]) -> Path:
    """Where the recipe's cases lie; makes those that are missing.

    Args:
        trainer: With its plan and recipe.
        cases: The plan's preprocessed cases.
        ids: Which are needed.

    Raises:
        UserError: A step cannot work on a case, or the steps leave nothing of these cases to train on.
    """
    if not trainer.recipe.transforms:
        return cases
    folder, steps = cases / trainer.recipe.transforms_hash(), make_transforms(trainer.recipe.transforms)
    made = [_prepare(trainer, steps, CaseStore(cases, id_), CaseStore(folder, id_)) for id_ in ids]
    _summarise(trainer.recipe.transforms, steps, folder, ids, any(made))
    return folder


def _prepare(trainer: Trainer, steps: Sequence[AnyTransform], source: CaseStore, target: CaseStore) -> bool:
    """Makes one case, unless it is there already; says whether it did."""
    plan = trainer.plan
    rules = [[each.name for each in trainer.recipe.transforms], plan.scheme.to_dict(), plan.encoding.values]
    key = f"{source.record.key}-{hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16]}"
    if target.done(key):
        return False
    start = CaseData(
        np.asarray(source.image[:], dtype=np.float32),
        np.asarray(source.mask[:]),
        source.record.spacing,
        source.record.slices,
        plan.view_axis,
        source.record.slice_grid,
        plan.scheme,
        plan.encoding.values,
        id=source.id,
    )
    case, _ = apply_transforms(steps, start)
    mask = case.mask if case.mask is not None else np.zeros(case.shape, np.uint8)
    record = replace(
        source.record,
        shape=case.shape,
        spacing=case.spacing,
        labels=describe_labels(mask),
        slices=case.slices,
        key=key,
        slice_grid=case.slice_grid if case.shape[0] == source.record.shape[0] else None,
    )
    for table in case.tables:
        write_case_table(target.folder, (record.id, record.patient, record.sequence), table)
    target.write(case.image, mask, record, plan.view_axis)
    return True


def _summarise(
    settings: Sequence[TransformSettings],
    steps: Sequence[AnyTransform],
    folder: Path,
    ids: Sequence[str],
    say: bool,
) -> None:
    """Writes the steps' tables of all cases, logs what they come to, and refuses what leaves nothing to train on."""
    for each, step in zip(settings, steps, strict=True):
        if not isinstance(step, SummarisedTransform):
            continue
        summary = step.summary(read_case_tables(folder, ids, each.name))
        if say:
            write_table(folder, each.name)
            for line in summary.lines:
                log.info("%s", line)
        if summary.problem:
            table = folder / f"{each.name}.csv"
            raise UserError(f"step {each.name}", f"{summary.problem} ({table} lists why)", summary.hint)


def check_count(name: str, value: float, least: int = 1) -> None:
    """Refuses what is not a whole number from `least` on.

    Raises:
        ValueError: It is not.
    """
    if not float(value).is_integer() or value < least:
        raise ValueError(f"{name} is {value:g}, not a whole number from {least} on")


def check_flag(name: str, value: float) -> None:
    """Refuses what is neither 0 nor 1.

    Raises:
        ValueError: It is neither.
    """
    if value not in (0, 1):
        raise ValueError(f"{name} is {value:g}, neither 0 nor 1")
