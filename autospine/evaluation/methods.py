"""One or several methods, scored on the same references, and what can be said of their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from autospine.core.errors import UserError
from autospine.evaluation.case import CaseScore
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.statistics import PairedTest, by_patient, check_methods, correct, paired_tests
from autospine.evaluation.structures import Presence
from autospine.labels.anatomy import Anatomy

TESTED = ("dice", "asd_mm", "hd95_mm", "nsd")


@dataclass(frozen=True)
class MethodComparison:
    """What a report is written about."""

    methods: tuple[Evaluation, ...]  # their scores on the same references; the first is the one in question

    @property
    def first(self) -> Evaluation:
        """Return the method in question."""
        return self.methods[0]

    @property
    def several(self) -> bool:
        """Return whether there is anything to compare."""
        return len(self.methods) > 1

    @property
    def failures(self) -> tuple[str, ...]:
        """Return every line of every method, once."""
        return tuple(dict.fromkeys(line for method in self.methods for line in method.failures))

    @cached_property
    def common(self) -> tuple[str, ...]:
        """Return the ids of the cases that every method has scores of: only these are compared."""
        ids = [{case.id for case in method.cases} for method in self.methods]
        return tuple(case.id for case in self.first.cases if all(case.id in known for known in ids))

    @cached_property
    def shared(self) -> frozenset[Anatomy]:
        """Return the structures of the references that every method is scored on."""
        return frozenset.intersection(*self._annotated)

    @cached_property
    def unshared(self) -> tuple[Anatomy, ...]:
        """Return those that some method is not scored on, since its labels cannot express them."""
        return tuple(sorted(frozenset.union(*self._annotated) - self.shared))

    @cached_property
    def _annotated(self) -> list[frozenset[Anatomy]]:
        shown = (Presence.BOTH, Presence.REFERENCE)
        return [
            frozenset(
                score.anatomy
                for case in method.cases
                for score in case.scores
                if case.id in self.common and not score.all_levels and score.presence in shown
            )
            for method in self.methods
        ]

    @cached_property
    def tests(self) -> tuple[PairedTest, ...]:
        """Test every pair of methods on the means of the cases that all of them have, corrected together.

        Means are over the shared structures, and the false positives among their kinds.
        """
        if not self.several or not self.shared:
            return ()
        return compare_methods({method.name: self._values(method) for method in self.methods}, self.first.patients)

    def _values(self, method: Evaluation) -> dict[str, dict[str, float]]:
        cases = tuple(self._comparable(case) for case in method.cases if case.id in self.common)
        comparable = replace(method, cases=cases)
        return {metric: comparable.case_values(metric) for metric in TESTED}

    def _comparable(self, case: CaseScore) -> CaseScore:
        kinds = {anatomy.kind for anatomy in self.shared}
        kept = (
            score
            for score in case.scores
            if score.anatomy in self.shared or (score.presence is Presence.PREDICTION and score.anatomy.kind in kinds)
        )
        return replace(case, scores=tuple(kept))


def method_names(folders: Sequence[str | Path]) -> tuple[str, ...]:
    """Name each method after its folder: as few of its last parts as tell it from the others.

    Raises:
        UserError: A folder is given twice.

    Example:
        >>> method_names(["work/unet/fold_0", "work/gan/fold_0"])
        ('unet/fold_0', 'gan/fold_0')
    """
    parts = [Path(folder).resolve().parts for folder in folders]
    for folder, own in zip(folders, parts, strict=True):
        if parts.count(own) > 1:
            raise UserError(folder, "is given twice", "compare different folders")
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = tuple("/".join(own[-depth:]) for own in parts)
        if len(set(names)) == len(names):
            return names
    return tuple(map(str, folders))


def compare_methods(
    methods: Mapping[str, Mapping[str, Mapping[str, float]]], patients: Mapping[str, str] | None = None
) -> tuple[PairedTest, ...]:
    """Test every pair of methods on every metric.

    Args:
        methods: By name of the method, then by metric: the values by case id. A case that a method failed on
            should be there with its worst value, not left out.
        patients: By case id, see `by_patient`.

    Returns:
        Metric by metric in the order of the first method, with Holm's correction over all of them together.

    Raises:
        UserError: There are fewer than two methods, or one lacks a metric of the first.
    """
    check_methods(methods)
    tests: list[PairedTest] = []
    for metric in next(iter(methods.values())):
        for name, metrics in methods.items():
            if metric not in metrics:
                raise UserError(name, f"has no {metric}", "score every method by the same metrics")
        values = {name: by_patient(metrics[metric], patients) for name, metrics in methods.items()}
        tests += paired_tests(values, metric)
    return correct(tests)
