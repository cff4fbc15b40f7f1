"""The transform that chooses the annotated slices to train on; prediction sees all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autospine.preprocessing.transforms.base import CaseData, SameGrid, check_flag

NAME = "annotated_slices"


@dataclass(frozen=True)
class AnnotatedSlices(SameGrid):
    """Train on slices that show a label; prediction sees all."""

    middle: float = 0  # 1 keeps of each case the middle one of its annotated slices (the lower of two), 0 all of them

    def __post_init__(self) -> None:
        check_flag("middle", self.middle)

    def apply(self, case: CaseData) -> CaseData:
        """Return the case with the slices that are kept; raise a `UserError` for a plan of volumes."""
        if case.mask is None:
            return case
        view_axis = case.need_view_axis(NAME)
        shown = (case.mask != 0) & (case.mask != case.ignore_label)
        in_plane = tuple(axis for axis in range(3) if axis != view_axis)
        annotated = np.flatnonzero(shown.any(axis=in_plane)).tolist()
        allowed = [k for k in annotated if case.slices is None or k in case.slices]
        kept = allowed[(len(allowed) - 1) // 2 :][:1] if self.middle else allowed
        return replace(case, slices=tuple(kept))
