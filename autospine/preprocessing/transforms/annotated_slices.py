"""Training on annotated slices alone, or on the middle one of each series, as a recipe's step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autospine.core.errors import UserError
from autospine.preprocessing.transforms.numbers import check_flag

if TYPE_CHECKING:
    from autospine.preprocessing.transforms.base import CaseData, Shape

NAME = "annotated_slices"


@dataclass(frozen=True)
class AnnotatedSlices:
    """Trains on slices that show a label; prediction sees all.

    Attributes:
        middle: 1 keeps of each case the middle one of its annotated slices (the lower of two), 0 all of them.
    """

    middle: float = 0

    def __post_init__(self) -> None:
        check_flag("middle", self.middle)

    def apply(self, case: CaseData) -> CaseData:
        """The case with the slices that are kept; none where nothing is annotated.

        Raises:
            UserError: The plan sees volumes.
        """
        if case.mask is None:
            return case
        if case.view_axis is None:
            raise UserError(f"step {NAME}", "finds no slices in a plan of volumes", "use --plan 2d_sagittal")
        unlabelled = case.scheme.unlabelled if case.scheme else None
        shown = (case.mask != 0) & (case.mask != unlabelled)
        across = tuple(axis for axis in range(3) if axis != case.view_axis)
        found = [int(k) for k in np.flatnonzero(shown.any(axis=across))]
        allowed = [k for k in found if case.slices is None or k in case.slices]
        kept = allowed[(len(allowed) - 1) // 2 :][:1] if self.middle else allowed
        return replace(case, slices=tuple(kept))

    def undo(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Nothing to undo."""
        return values
