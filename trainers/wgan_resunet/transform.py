"""The derivation of `axial4` as a preprocessing transform."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autospine.labels.anatomy import Kind
from autospine.labels.conversion import present_labels
from autospine.preprocessing.transforms.base import CaseData, LabelSet, SameGrid
from trainers.wgan_resunet.foramen import NAMED, derive_foramen, lacks_foramen
from trainers.wgan_resunet.labels import (
    ARCH,
    AXIAL4,
    STRUCTURES,
    WHOLE,
    check_derivable,
    derive_axial4,
    labels_of,
    shows_axial,
)

NAME = "derive_axial4"


@dataclass(frozen=True)
class DeriveAxial4(SameGrid):
    """Gives masks of whole vertebrae the labels of `axial4`; masks that have them already stay as they are.

    Where bodies or laminae are named and a canal is, but no foramen, only the foramen is derived.

    List it before transforms that resample or crop the image: it goes along canonical axial rows.
    """

    def label_set(self, before: LabelSet) -> LabelSet:
        """Return `axial4` with a value for what is not annotated; the labels before where nothing has to be derived.

        Raises:
            UserError: The data set shows no vertebrae or no canal.
        """
        if lacks_foramen(before.scheme, before.shown):
            kinds = (before.scheme.anatomies[value].kind for value in before.shown)
            named = {Kind.FORAMEN, *(Kind.LAMINA if kind in ARCH else kind for kind in kinds)}
            return LabelSet(AXIAL4, tuple(v for v in STRUCTURES if AXIAL4.anatomies[v].kind in named))
        if shows_axial(before.scheme, before.shown):
            return before
        check_derivable(before.scheme, before.shown, "the data set")
        return LabelSet(AXIAL4, STRUCTURES)

    def relabel(self, mask: np.ndarray, before: LabelSet, where: str | Path) -> np.ndarray:
        """Return a mask in the new labels; see `derive_axial4` and `derive_foramen`."""
        if lacks_foramen(before.scheme, before.shown):
            return derive_foramen(mask, before.scheme, where)
        if shows_axial(before.scheme, before.shown):
            return mask
        return derive_axial4(mask, before.scheme, where)

    def apply(self, case: CaseData) -> CaseData:
        """Return the case with derived labels.

        Raises:
            UserError: Its mask shows vertebrae, or parts of them, but no canal.
        """
        if case.mask is None:
            return case
        before = LabelSet(case.need_scheme(NAME), case.labels)
        after = self.label_set(before)
        if after == before:
            return case
        where = f"the mask of {case.id}" if case.id else "the mask"
        self._check_canal(case.mask, before, where)
        mask = self.relabel(case.mask, before, where)
        return replace(case, mask=mask, scheme=after.scheme, labels=after.shown)

    @staticmethod
    def _check_canal(mask: np.ndarray, before: LabelSet, where: str) -> None:
        """Check that a mask with vertebrae shows a canal; an empty mask is one without."""
        bone = NAMED if lacks_foramen(before.scheme, before.shown) else WHOLE
        present: Collection[int] = present_labels(mask, where)
        if set(labels_of(before.scheme, *bone)) & set(present):
            check_derivable(before.scheme, present, where, bone)
