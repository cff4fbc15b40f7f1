"""Preprocessing steps that a recipe lists on top of its plan: applied before training, replayed by prediction.

A step is a frozen dataclass with `apply` and `undo`. Its name and numbers stand in the recipe and in model.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autospine.errors import UserError
from autospine.preprocessing.resampling import resize, resize_labels
from autospine.preprocessing.storage import CaseStore, describe_labels
from autospine.recipe import StepSettings

if TYPE_CHECKING:
    from autospine.training.trainer import Trainer

Shape = tuple[int, int, int]

# Where each step's class is found; a paper adds its own here.
STEPS: dict[str, str] = {
    "centre_crop": "autospine.preprocessing.steps:CentreCrop",
    "resize": "autospine.preprocessing.steps:Resize",
}


@dataclass(frozen=True)
class Prepared:
    """A case between two steps.

    Attributes:
        image: `(channels, slices, rows, columns)` float32.
        mask: `(slices, rows, columns)` labels; None in prediction.
        spacing: mm along (slices, rows, columns).
        slices: Slices along the view axis that take part in training; None for all.
        view_axis: The plan's; None for volumes.
    """

    image: np.ndarray
    mask: np.ndarray | None
    spacing: tuple[float, float, float]
    slices: tuple[int, ...] | None = None
    view_axis: int | None = 0

    @property
    def shape(self) -> Shape:
        """Voxels along (slices, rows, columns)."""
        size = self.image.shape[1:]
        return (size[0], size[1], size[2])


class Step(Protocol):
    """What every step offers."""

    def apply(self, case: Prepared) -> Prepared:
        """The case after the step."""

    def undo(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Brings a network's answer back.

        Args:
            values: `(channels, slices, rows, columns)` on the grid after the step.
            shape: Of the grid before it.
            fill: `(channels,)` what stands where the step cut something off.
        """


@dataclass(frozen=True)
class CentreCrop:
    """Keeps a share of each axis about the centre, 0 to 1."""

    slices: float = 1.0
    rows: float = 1.0
    columns: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("slices", self.slices), ("rows", self.rows), ("columns", self.columns)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share:g}, not a share of 0 to 1")

    def window(self, shape: Shape) -> tuple[slice, ...]:
        """What is kept of a grid."""
        parts = []
        for size, share in zip(shape, (self.slices, self.rows, self.columns), strict=True):
            kept = max(round(size * share), 1)
            first = (size - kept) // 2
            parts.append(slice(first, first + kept))
        return tuple(parts)

    def apply(self, case: Prepared) -> Prepared:
        """The middle of the case."""
        window = self.window(case.shape)
        mask = None if case.mask is None else np.ascontiguousarray(case.mask[window])
        kept = case.slices
        if kept is not None and case.view_axis is not None:
            seen = window[case.view_axis]
            kept = tuple(k - seen.start for k in kept if seen.start <= k < seen.stop)
        image = np.ascontiguousarray(case.image[(slice(None), *window)])
        return replace(case, image=image, mask=mask, slices=kept)

    def undo(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """The fill around the middle."""
        result = np.empty((len(values), *shape), values.dtype)
        result[:] = fill[:, None, None, None]
        result[(slice(None), *self.window(shape))] = values
        return result


@dataclass(frozen=True)
class Resize:
    """Brings the given axes to a number of voxels; 0 leaves an axis alone."""

    slices: float = 0
    rows: float = 0
    columns: float = 0

    def __post_init__(self) -> None:
        for name, count in (("slices", self.slices), ("rows", self.rows), ("columns", self.columns)):
            if count < 0 or count != int(count):
                raise ValueError(f"{name} is {count:g}, not a number of voxels")

    def target(self, shape: Shape) -> Shape:
        """The grid after the step."""
        wanted = (int(self.slices), int(self.rows), int(self.columns))
        size = [new or old for old, new in zip(shape, wanted, strict=True)]
        return (size[0], size[1], size[2])

    def apply(self, case: Prepared) -> Prepared:
        """Linear for the image, by shares for the mask."""
        target = self.target(case.shape)
        mask = None if case.mask is None else resize_labels(case.mask, target)
        spacing = [s * o / n for s, o, n in zip(case.spacing, case.shape, target, strict=True)]
        view = case.view_axis
        kept = case.slices if view is not None and target[view] == case.shape[view] else None
        return replace(
            case,
            image=resize(case.image, target),
            mask=mask,
            spacing=(spacing[0], spacing[1], spacing[2]),
            slices=kept,
        )

    def undo(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Linear."""
        return resize(values, shape)


def make_steps(settings: tuple[StepSettings, ...]) -> list[Step]:
    """The steps of a recipe.

    Raises:
        UserError: An unknown step, or a number that it does not take.
    """
    steps: list[Step] = []
    for each in settings:
        if each.name not in STEPS:
            raise UserError(f"step {each.name}", "is unknown", f"choose from {', '.join(sorted(STEPS))}")
        module, _, name = STEPS[each.name].partition(":")
        kind = getattr(import_module(module), name)
        fields = {field.name for field in _fields(kind)}
        unknown = sorted(set(each.settings) - fields)
        if unknown:
            raise UserError(
                f"step {each.name}", f"does not take {unknown[0]}", f"use {', '.join(sorted(fields))}"
            )
        steps.append(_make(kind, each))
    return steps


def _fields(kind: type) -> tuple:
    import dataclasses

    return dataclasses.fields(kind)


def _make(kind: type, settings: StepSettings) -> Step:
    try:
        return kind(**settings.settings)  # the names were checked
    except (TypeError, ValueError) as error:
        raise UserError(f"step {settings.name}", str(error), "correct the recipe") from error


def apply_steps(steps: list[Step], case: Prepared) -> tuple[Prepared, list[Shape]]:
    """Applies steps in order; gives the grid before each, which the way back needs."""
    shapes = []
    for step in steps:
        shapes.append(case.shape)
        case = step.apply(case)
    return case, shapes


def undo_steps(steps: list[Step], shapes: list[Shape], values: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """The way back, last step first."""
    for step, shape in zip(reversed(steps), reversed(shapes), strict=True):
        values = step.undo(values, shape, fill)
    return values


def prepared_folder(trainer: Trainer, cases: Path, ids: tuple[str, ...]) -> Path:
    """Where the recipe's cases lie; makes those that are missing.

    Args:
        trainer: With its plan and recipe.
        cases: The plan's preprocessed cases.
        ids: Which are needed.
    """
    settings = trainer.recipe.steps
    if not settings:
        return cases
    folder, steps = cases / trainer.recipe.steps_hash(), make_steps(settings)
    for case_id in ids:
        source, target = CaseStore(cases, case_id), CaseStore(folder, case_id)
        key = f"{source.record.key}-{json.dumps([each.name for each in settings])}"
        if target.done(key):
            continue
        image = np.asarray(source.image[:], dtype=np.float32)
        start = Prepared(
            image,
            np.asarray(source.mask[:]),
            source.record.spacing,
            source.record.slices,
            trainer.plan.view_axis,
        )
        case, _ = apply_steps(steps, start)
        mask = case.mask if case.mask is not None else np.zeros(case.shape, np.uint8)
        record = replace(
            source.record,
            shape=case.shape,
            spacing=case.spacing,
            labels=describe_labels(mask),
            slices=case.slices,
            key=key,
        )
        target.write(case.image, mask, record, trainer.plan.view_axis)
    return folder
