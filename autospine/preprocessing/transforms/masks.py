"""Transforms that change masks alone: the box rule of slice reconstruction, and mask cleaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autospine.cleaning.clean import RuleSet, clean_labels
from autospine.cleaning.rules import RULES
from autospine.core.errors import UserError
from autospine.fingerprint.slice_filter import shown_classes
from autospine.preprocessing.transforms.base import CaseData, SameGrid, check_flag
from autospine.preprocessing.transforms.log import TransformSummary, TransformTable
from autospine.reconstruction.grid import measured_planes
from autospine.reconstruction.masks import interpolate_mask

BOX_MASKS = "box_masks"
CLEAN_MASKS = "clean_masks"


@dataclass(frozen=True)
class BoxMasks(SameGrid):
    """Interpolate the masks between measured slices by the box rule of Pal et al.; do nothing where none were.

    Images and measured slices stay, those too that nobody annotated and the plan has filled in; so do predictions,
    since a scan to be segmented has no mask.
    """

    def apply(self, case: CaseData) -> CaseData:
        """Return the case with box-rule masks; raise a `UserError` where a transform before changed the slices."""
        slices = case.slice_grid
        if case.mask is None or slices is None or slices.subdivisions == 1:
            return case
        if case.shape[0] != slices.count:
            raise UserError(f"transform {BOX_MASKS}", "finds other slices than the plan has made", "list it first")
        spacing = (slices.gap_mm, *case.spacing[1:])
        measured = measured_planes(case.mask, slices, axis=0)  # (measured, rows, columns)
        return replace(case, mask=interpolate_mask(measured, slices, spacing, "box", case.ignore_label))


@dataclass(frozen=True)
class CleanMasks(SameGrid):
    """Clean the masks that a network learns from; images and predictions stay.

    The data set's own labels stay, too (see `clean_labels`), so whatever a trainer learns of them is converted as ever.
    """

    published: float = 0  # 1 for the paper's rules to the letter, 0 for unknown and isolated pixels only

    def __post_init__(self) -> None:
        check_flag("published", self.published)

    @property
    def rules(self) -> RuleSet:
        """Return the name of the rules."""
        return "published" if self.published else "adapted"

    def apply(self, case: CaseData) -> CaseData:
        """Return the case with a clean mask and a table of what was changed.

        Raises:
            UserError: The mask's labels have no meaning that the rules know.
        """
        if case.mask is None:
            return case
        scheme = case.need_scheme(CLEAN_MASKS)
        annotated = shown_classes(scheme, case.labels or scheme.anatomies)
        cleaned = clean_labels(case.mask, scheme, self.rules, f"transform {CLEAN_MASKS}", annotated)
        rows = tuple(tuple(map(str, row)) for row in cleaned.report.rows())
        table = TransformTable(CLEAN_MASKS, ("slice", *cleaned.report.rules), rows)
        return replace(case, mask=cleaned.mask, tables=(*case.tables, table))

    def summary(self, rows: Sequence[Mapping[str, str]]) -> TransformSummary:
        """Count the pixels that each rule changed, over all cases."""
        counts = {rule.name: sum(int(row[rule.name]) for row in rows) for rule in RULES[self.rules]}
        changed = ", ".join(f"{name} {count}" for name, count in counts.items())
        return TransformSummary((f"masks cleaned ({self.rules} rules), pixels changed: {changed}",))
