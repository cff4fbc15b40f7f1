"""One or several systems, scored on the same references, and what can be said of their differences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from autospine.evaluation.evaluation import Evaluation
from autospine.evaluation.statistics import PairedTest
from autospine.evaluation.systems import compare_systems

TESTED = ("dice", "asd_mm", "hd95_mm", "nsd")


@dataclass(frozen=True)
class Study:
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
    def tests(self) -> tuple[PairedTest, ...]:
        """Every pair of systems on the means of the cases that all of them have, corrected together."""
        if len(self.systems) < 2 or not self.common:
            return ()
        return compare_systems({s.name: self._values(s) for s in self.systems}, self.first.patients)

    def _values(self, system: Evaluation) -> dict[str, dict[str, float]]:
        found = {metric: system.case_values(metric) for metric in TESTED}
        return {
            metric: {id_: value for id_, value in values.items() if id_ in self.common}
            for metric, values in found.items()
        }
