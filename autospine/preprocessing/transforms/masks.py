"""The literal mask rule of slice reconstruction, as a recipe's step: boxes between the measured slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autospine.cleaning.clean import RuleSet, clean_labels
from autospine.cleaning.rules import RULES
from autospine.core.errors import UserError
from autospine.dataset.slice_filter import shown_classes
from autospine.preprocessing.transforms.log import Summary, TransformTable
from autospine.reconstruction.grid import measured_planes
from autospine.reconstruction.masks import interpolate_mask

if TYPE_CHECKING:
    from autospine.preprocessing.transforms.base import CaseData, Shape


@dataclass(frozen=True)
class BoxMasks:
    """Interpolate the masks between measured slices by the box rule of Pal et al.; do nothing where none were.

    Images and measured slices stay, those too that nobody annotated and the plan has filled in; so do predictions,
    since a scan to be segmented has no mask.
    """

    def apply(self, case: CaseData) -> CaseData:
        """The case with box-rule masks.

        Raises:
            UserError: An earlier step has changed the slices.
        """
        slices = case.slice_grid
        if case.mask is None or slices is None or slices.subdivisions == 1:
            return case
        if case.shape[0] != slices.count:
            raise UserError("step box_masks", "finds other slices than the plan has made", "list it first")
        spacing = (slices.gap_mm, *case.spacing[1:])
        measured = measured_planes(case.mask, slices, axis=0)  # (measured, rows, columns)
        ignore_label = case.scheme.ignore_label if case.scheme else None
        return replace(case, mask=interpolate_mask(measured, slices, spacing, "box", ignore_label))

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Nothing to undo."""
        return values


NAME = "clean_masks"


@dataclass(frozen=True)
class CleanMasks:
    """Cleans the masks that a network learns from; images and predictions stay.

    The data set's own labels stay, too (see `clean_labels`), so whatever a trainer learns of them is converted as ever.

    Attributes:
        published: 1 for the paper's rules to the letter, 0 for unknown and isolated pixels only.
    """

    published: float = 0

    def __post_init__(self) -> None:
        if self.published not in (0, 1):
            raise ValueError(f"published is {self.published:g}, neither 0 nor 1")

    @property
    def rules(self) -> RuleSet:
        """Which rules."""
        return "published" if self.published else "adapted"

    def apply(self, case: CaseData) -> CaseData:
        """The case with a clean mask and a table of what was changed.

        Raises:
            UserError: The mask's labels have no meaning that the rules know.
        """
        if case.mask is None:
            return case
        if case.scheme is None:
            raise UserError(f"step {NAME}", "was not told what the mask's integers mean", "plan again")
        annotated = shown_classes(case.scheme, case.labels or case.scheme.anatomies)
        cleaned = clean_labels(case.mask, case.scheme, self.rules, f"step {NAME}", annotated)
        rows = tuple(tuple(map(str, row)) for row in cleaned.report.rows())
        table = TransformTable(NAME, ("slice", *cleaned.report.rules), rows)
        return replace(case, mask=cleaned.mask, tables=(*case.tables, table))

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Nothing to undo."""
        return values

    def summary(self, rows: Sequence[Mapping[str, str]]) -> Summary:
        """Pixels that each rule changed, over all cases."""
        counts = {rule.name: sum(int(row[rule.name]) for row in rows) for rule in RULES[self.rules]}
        changed = ", ".join(f"{name} {count}" for name, count in counts.items())
        return Summary((f"masks cleaned ({self.rules} rules), pixels changed: {changed}",))
