"""Preprocessing transforms that a recipe lists on top of its plan: applied before training, replayed by prediction.

A transform is a frozen dataclass with `apply` and `inverse`, or with `for_case` if it must look at the case first. Its
name and numbers stand in the recipe and in model.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.serial import to_plain
from autospine.labels.schemes import LabelScheme
from autospine.preprocessing.transforms.log import TransformTable
from autospine.reconstruction.grid import SliceGrid
from autospine.volumes.geometry import three

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class TransformSettings:
    """Name and numbers of one transform."""

    name: str  # in the group "transforms" of `autospine.core.registry`
    settings: dict[str, float] = field(default_factory=dict)  # its arguments


@dataclass(frozen=True)
class LabelSet:
    """Meaning of a mask's integers."""

    scheme: LabelScheme  # their meaning
    shown: tuple[int, ...]  # those that the data set shows


@dataclass(frozen=True)
class CaseData:
    """A case between two transforms."""

    image: np.ndarray  # `(channels, slices, rows, columns)` float32
    mask: np.ndarray | None  # `(slices, rows, columns)` labels; None in prediction
    spacing: tuple[float, float, float]  # mm along (slices, rows, columns)
    slices: tuple[int, ...] | None = None  # slices along the view axis that take part in training; None for all
    view_axis: int | None = 0  # the plan's; None for volumes
    # Which slices were measured, where the plan has interpolated those between; None elsewhere.
    slice_grid: SliceGrid | None = None
    scheme: LabelScheme | None = None  # what the mask's integers mean; None where it has none
    labels: tuple[int, ...] = ()  # those that the data set shows
    tables: tuple[TransformTable, ...] = ()  # what the transforms so far report of what they did
    id: str = ""  # of the case, for errors; empty in prediction

    @property
    def shape(self) -> Shape:
        """Return the voxels along (slices, rows, columns)."""
        return three(self.image.shape[1:])

    @property
    def ignore_label(self) -> int | None:
        """Return the integer of voxels that nobody annotated, if there is one."""
        return self.scheme.ignore_label if self.scheme else None

    def need_scheme(self, transform: str) -> LabelScheme:
        """Return the scheme; without one, raise a `UserError` that names the transform."""
        if self.scheme is None:
            raise UserError(f"transform {transform}", "was not told what the mask's integers mean", "plan again")
        return self.scheme

    def need_view_axis(self, transform: str) -> int:
        """Return the view axis; without one, raise a `UserError` that names the transform."""
        if self.view_axis is None:
            raise UserError(f"transform {transform}", "finds no slices in a plan of volumes", "use --plan 2d_sagittal")
        return self.view_axis


@runtime_checkable
class Transform(Protocol):
    """Transform that does the same to every case."""

    def apply(self, case: CaseData) -> CaseData:
        """Return the transformed case."""

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Bring a network's output back.

        Args:
            values: `(channels, slices, rows, columns)` on the grid after the transform.
            shape: Of the grid before it.
            fill: `(channels,)` values where the transform cut something off.
        """


@runtime_checkable
class CaseTransform(Protocol):
    """Transform that looks at the case before it knows what to do."""

    def for_case(self, case: CaseData) -> Transform:
        """Return what it does to this case."""


@runtime_checkable
class RelabellingTransform(Protocol):
    """Transform that derives other labels: predictions are scored against masks that it relabels, too."""

    def label_set(self, before: LabelSet) -> LabelSet:
        """Return what masks hold afterwards.

        Raises:
            UserError: It needs labels that the data set does not show.
        """

    def relabel(self, mask: np.ndarray, before: LabelSet, where: str | Path) -> np.ndarray:
        """Relabel a mask of any grid, `(slices, rows, columns)`."""


class SameGrid:
    """Base of transforms that leave the grid, and with it predictions, alone."""

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Return the values themselves."""
        return values


AnyTransform = Transform | CaseTransform
AppliedTransforms = tuple[tuple[Transform, Shape], ...]  # each with the grid before it


def transforms_hash(settings: Sequence[TransformSettings]) -> str:
    """Return the name of the folder for what the transforms make."""
    return hashlib.sha256(json.dumps(to_plain(settings), sort_keys=True).encode()).hexdigest()[:10]


def make_transforms(settings: Sequence[TransformSettings]) -> list[AnyTransform]:
    """Make the transforms of a recipe.

    Raises:
        UserError: An unknown transform, or a number that it does not take.
    """
    return [_make(registry.load("transforms", setting.name), setting) for setting in settings]


def _make(kind: type, settings: TransformSettings) -> AnyTransform:
    where, known = f"transform {settings.name}", sorted(number.name for number in fields(kind))
    unknown = sorted(set(settings.settings) - set(known))
    if unknown:
        raise UserError(where, f"does not take {unknown[0]}", f"use {', '.join(known)}")
    try:
        return kind(**settings.settings)  # the names were checked
    except (TypeError, ValueError) as error:
        raise UserError(where, str(error), "correct the recipe") from error


def apply_transforms(transforms: Sequence[AnyTransform], case: CaseData) -> tuple[CaseData, AppliedTransforms]:
    """Apply transforms in order; return also what was done, which the inverse needs."""
    applied = []
    for transform in transforms:
        resolved = transform if isinstance(transform, Transform) else transform.for_case(case)
        applied.append((resolved, case.shape))
        case = resolved.apply(case)
    return case, tuple(applied)


def label_set_after(transforms: Sequence[AnyTransform], before: LabelSet) -> LabelSet:
    """Return what masks hold after all transforms; as before where none of them derives other labels."""
    for transform in transforms:
        if isinstance(transform, RelabellingTransform):
            before = transform.label_set(before)
    return before


def relabel(
    transforms: Sequence[AnyTransform], mask: np.ndarray, before: LabelSet, where: str | Path = "mask"
) -> np.ndarray:
    """Relabel a `(slices, rows, columns)` mask as all transforms do, on its own grid and otherwise untouched."""
    for transform in transforms:
        if isinstance(transform, RelabellingTransform):
            mask, before = transform.relabel(mask, before, where), transform.label_set(before)
    return mask


def check_count(name: str, value: float, least: int = 1) -> None:
    """Raise a `ValueError` for what is not a whole number from `least` on."""
    if not float(value).is_integer() or value < least:
        raise ValueError(f"{name} is {value:g}, not a whole number from {least} on")


def check_flag(name: str, value: float) -> None:
    """Raise a `ValueError` for what is neither 0 nor 1."""
    if value not in (0, 1):
        raise ValueError(f"{name} is {value:g}, neither 0 nor 1")
