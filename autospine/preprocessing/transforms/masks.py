"""The literal mask rule of slice reconstruction, as a recipe's step: boxes between the measured slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autospine.core.errors import UserError
from autospine.preprocessing.grid import rebuild_labels
from autospine.reconstruction.grid import measured_planes

if TYPE_CHECKING:
    from autospine.preprocessing.transforms.base import CaseData, Shape


@dataclass(frozen=True)
class BoxMasks:
    """Rebuilds the masks between measured slices by the box rule of Pal et al.; nothing to do where none was rebuilt.

    Images and measured slices stay, those too that nobody annotated and the plan has filled in; so do predictions,
    since a scan to be segmented has no mask.
    """

    def apply(self, case: CaseData) -> CaseData:
        """The case with box-rule masks.

        Raises:
            UserError: An earlier step has changed the slices.
        """
        slices = case.slice_grid
        if case.mask is None or slices is None or slices.parts == 1:
            return case
        if case.shape[0] != slices.count:
            raise UserError("step box_masks", "finds other slices than the plan has made", "list it first")
        spacing = (slices.gap_mm, *case.spacing[1:])
        measured = measured_planes(case.mask, slices, axis=0)  # (measured, rows, columns)
        unlabelled = case.scheme.unlabelled if case.scheme else None
        return replace(case, mask=rebuild_labels(measured, slices, spacing, unlabelled, "box"))

    def undo(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Nothing to undo."""
        return values
