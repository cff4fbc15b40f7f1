"""The slice filter of Ahmed et al. 2024 as a preprocessing transform; its rule is `fingerprint.slice_filter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autospine.core.errors import UserError
from autospine.fingerprint.slice_filter import (
    CLASS_NAMES,
    CLASSES,
    MAX_RATIO,
    RESULT_COLUMNS,
    SliceFilterResult,
    class_counts,
    class_weights,
    describe,
    filter_slices,
    reasons,
    shown_classes,
    why_none,
)
from autospine.preprocessing.transforms.base import CaseData, SameGrid
from autospine.preprocessing.transforms.log import TransformSummary, TransformTable

NAME = "filter_slices"
ASKED = "asked for"  # the classes that a slice had to show


@dataclass(frozen=True)
class FilterSlices(SameGrid):
    """Train only on slices that show every class that the data set shows, none too small; prediction sees all."""

    max_ratio: float = MAX_RATIO  # largest class frequency of a slice over the smallest

    def __post_init__(self) -> None:
        if not self.max_ratio >= 1:
            raise ValueError(f"max_ratio is {self.max_ratio:g}, below 1")

    def apply(self, case: CaseData) -> CaseData:
        """Return the case with the slices that are kept, and a table of why others are not.

        Raises:
            UserError: The plan sees volumes, or the data show none of the classes.
        """
        if case.mask is None:
            return case
        view_axis, scheme = case.need_view_axis(NAME), case.need_scheme(NAME)
        classes = shown_classes(scheme, case.labels)
        if not classes:
            problem = f"finds no vertebra, canal or disc among the labels of scheme {scheme.name}"
            raise UserError(f"transform {NAME}", problem, "plan again with the right --labels, or use another recipe")
        results = filter_slices(class_counts(case.mask, scheme, view_axis), self.max_ratio, classes)
        allowed = range(len(results)) if case.slices is None else case.slices
        asked = " ".join(CLASS_NAMES[k] for k in classes)
        rows = tuple((*result.cells, asked) for result in results if result.index in allowed)
        return replace(
            case,
            slices=tuple(k for k in allowed if results[k].kept),
            tables=(*case.tables, TransformTable(NAME, (*RESULT_COLUMNS, ASKED), rows)),
        )

    def summary(self, rows: Sequence[Mapping[str, str]]) -> TransformSummary:
        """Count the slices kept and class weight ratios of each sequence; name the problem where no slice is left."""
        if not rows:
            return TransformSummary(())
        classes = tuple(CLASS_NAMES.index(name) for name in rows[0][ASKED].split())
        by_sequence: dict[str, list[SliceFilterResult]] = {}
        for row in rows:
            by_sequence.setdefault(row["sequence"], []).append(self._result(row, classes))
        lines = []
        for sequence, results in sorted(by_sequence.items()):
            why = reasons(results, self.max_ratio)
            line = f"slice filter, {sequence}: {describe(class_weights(results), classes)}"
            lines.append(f"{line}; dropped: {why}" if why else line)
        every = [result for results in by_sequence.values() for result in results]
        if any(result.kept for result in every):
            return TransformSummary(tuple(lines))
        return TransformSummary(tuple(lines), *self._problem(every, classes))

    def _result(self, row: Mapping[str, str], classes: tuple[int, ...]) -> SliceFilterResult:
        """Return the filter result that a row was written from."""
        counts = np.zeros((1, CLASSES), np.int64)
        counts[0] = [int(row[name]) for name in CLASS_NAMES]
        return replace(filter_slices(counts, self.max_ratio, classes)[0], index=int(row["slice"]))

    def _problem(self, results: Sequence[SliceFilterResult], classes: tuple[int, ...]) -> tuple[str, str]:
        too_high = any(not result.missing for result in results)
        hint = "crop the images around the spine" if too_high else "add cases that do"
        problem = f"leaves no slice to train on: {why_none(results, self.max_ratio, classes)}"
        return problem, f"{hint}, or take a recipe without the filter"
