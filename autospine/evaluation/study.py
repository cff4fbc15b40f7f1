"""One or several systems, scored on the same references, and what can be said of their differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from autospine.evaluation.cohort import CaseScore, Evaluation
from autospine.evaluation.statistics import PairedTest
from autospine.evaluation.structures import Presence
from autospine.evaluation.systems import compare_systems
from autospine.labels.anatomy import Anatomy

TESTED = ("dice", "asd_mm", "hd95_mm", "nsd")


@dataclass(frozen=True)
class MethodComparison:
    """What a report is written about.

    Attributes:
        systems: Their scores on the same references; the first is the one in question.
    """

    systems: tuple[Evaluation, ...]

    @property
    def first(self) -> Evaluation:
        """The system in question."""
        return self.systems[0]

    @property
    def failures(self) -> tuple[str, ...]:
        """Every line of every system, once."""
        return tuple(dict.fromkeys(line for system in self.systems for line in system.failures))

    @cached_property
    def common(self) -> tuple[str, ...]:
        """Ids of the cases that every system has scores of: only these are compared."""
        ids = [set(case.id for case in system.cases) for system in self.systems]
        return tuple(case.id for case in self.first.cases if all(case.id in known for known in ids))

    @cached_property
    def shared(self) -> frozenset[Anatomy]:
        """Structures of the references that every system is scored on."""
        return frozenset.intersection(*self._annotated)

    @cached_property
    def unshared(self) -> tuple[Anatomy, ...]:
        """Those that some system is not scored on, since its labels cannot express them."""
        return tuple(sorted(frozenset.union(*self._annotated) - self.shared))

    @cached_property
    def _annotated(self) -> list[frozenset[Anatomy]]:
        return [
            frozenset(
                score.anatomy
                for case in system.cases
                for score in case.scores
                if case.id in self.common and not score.union and score.presence in (Presence.BOTH, Presence.REFERENCE)
            )
            for system in self.systems
        ]

    @cached_property
    def tests(self) -> tuple[PairedTest, ...]:
        """Every pair of systems on the means of the cases that all of them have, corrected together.

        Means are over the shared structures, and what a system invents among their kinds.
        """
        if len(self.systems) < 2 or not self.shared:
            return ()
        return compare_systems({s.name: self._values(s) for s in self.systems}, self.first.patients)

    def _values(self, system: Evaluation) -> dict[str, dict[str, float]]:
        cases = tuple(self._comparable(case) for case in system.cases if case.id in self.common)
        found = replace(system, cases=cases)
        return {metric: found.case_values(metric) for metric in TESTED}

    def _comparable(self, case: CaseScore) -> CaseScore:
        kinds = {anatomy.kind for anatomy in self.shared}
        kept = (
            score
            for score in case.scores
            if score.anatomy in self.shared or (score.presence is Presence.PREDICTION and score.anatomy.kind in kinds)
        )
        return replace(case, scores=tuple(kept))
