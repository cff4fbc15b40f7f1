"""Mask cleaning as a recipe's step."""

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

if TYPE_CHECKING:
    from autospine.preprocessing.transforms.base import CaseData, Shape

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

    def undo(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Nothing to undo."""
        return values

    def summary(self, rows: Sequence[Mapping[str, str]]) -> Summary:
        """Pixels that each rule changed, over all cases."""
        counts = {rule.name: sum(int(row[rule.name]) for row in rows) for rule in RULES[self.rules]}
        changed = ", ".join(f"{name} {count}" for name, count in counts.items())
        return Summary((f"masks cleaned ({self.rules} rules), pixels changed: {changed}",))
