"""Scores of many cases: per structure, per case and overall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isnan
from pathlib import Path
from statistics import mean, stdev

from autospine.evaluation.comparison import MEMBERS, Comparison
from autospine.evaluation.instances import InstanceScore, InstanceSummary, summarise_instances
from autospine.evaluation.protocol import ChallengeCase
from autospine.evaluation.statistics import Interval, bootstrap
from autospine.evaluation.structures import METRICS, NAN, TOLERANCE_MM, LabelScore, Presence
from autospine.evaluation.systems import by_patient
from autospine.labels.anatomy import Anatomy, Kind

NO_INTERVAL = Interval(NAN, NAN, NAN, 0)


@dataclass(frozen=True)
class CaseScore:
    """Scores of one case.

    Attributes:
        id: The case.
        scores: One per structure that the evaluation scores; "absent in both" ones included.
        missing: There was no prediction: everything in the reference scores 0.
        beyond: What each mask shows that the other's scheme cannot express, per side.
        instances: Vertebrae, discs, ... counted and matched, one entry per kind.
        log_loss: Over all annotated voxels, in nats; NaN without probabilities.
    """

    id: str
    scores: tuple[LabelScore, ...]
    missing: bool = False
    beyond: Mapping[str, tuple[Anatomy, ...]] | None = None
    instances: tuple[InstanceScore, ...] = ()
    log_loss: float = NAN

    def mean(self, metric: str) -> float:
        """Mean over the structures that at least one mask shows, unions left out; NaN if there are none."""
        return _mean(getattr(score, metric) for score in self.scores if not score.union)


@dataclass(frozen=True)
class LabelSummary:
    """One structure over all cases.

    Attributes:
        anatomy: The structure.
        name: For people (assumes five lumbar vertebrae).
        union: It stands for all levels of its kind, beside rows of single levels.
        cases: Cases that enter the means: at least one mask shows it.
        absent: Cases in which neither does.
        means: Per metric; NaN if no case enters.
        deviations: Standard deviations (n - 1) per metric; NaN below two cases.
    """

    anatomy: Anatomy
    name: str
    union: bool
    cases: int
    absent: int
    means: Mapping[str, float]
    deviations: Mapping[str, float]


@dataclass(frozen=True)
class OneSided:
    """An anatomy that only one side has.

    Attributes:
        anatomy: Which.
        side: "prediction" or "reference".
        scored: False if the other side cannot or does not label it at all; True if it counts as an error.
    """

    anatomy: Anatomy
    side: str
    scored: bool

    def __str__(self) -> str:
        fate = "scored 0" if self.scored else "not scored"
        return f"{self.anatomy.name} (only in the {self.side}, {fate})"


@dataclass(frozen=True)
class CaseFiles:
    """What a case was scored from.

    Attributes:
        prediction: The predicted mask, or None.
        reference: Its reference.
        image: The scan, where known.
        comparison: Of the label schemes.
    """

    prediction: Path | None
    reference: Path
    image: Path | None
    comparison: Comparison


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of cases.

    Attributes:
        cases: In the order of their ids; every case has the same structures.
        pred_scheme: Label scheme of the predictions.
        ref_scheme: Label scheme of the references.
        one_sided: Anatomies that only predictions or only references hold.
        extra: Ids of predictions without a reference.
        failures: What went wrong with cases that could not be scored, a line each.
        name: Of the system that predicted.
        tolerance_mm: Within which a surface counts as right in NSD.
        patients: Whose scan each case is; a case that is not in it belongs to the patient that its id names.
        strata: Per column, such as "sequence", the ids of each group.
        official: What SPIDER's own script says; empty unless it was asked for.
        files: What each case was scored from; empty if masks were never files.
    """

    cases: tuple[CaseScore, ...]
    pred_scheme: str
    ref_scheme: str
    one_sided: tuple[OneSided, ...] = ()
    extra: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    name: str = "prediction"
    tolerance_mm: float = TOLERANCE_MM
    patients: Mapping[str, str] = field(default_factory=dict)
    strata: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    official: tuple[ChallengeCase, ...] = ()
    files: Mapping[str, CaseFiles] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of references without a prediction; they score 0."""
        return tuple(case.id for case in self.cases if case.missing)

    @cached_property
    def labels(self) -> tuple[LabelSummary, ...]:
        """Every structure over all cases; unions last."""
        if not self.cases:
            return ()
        columns = zip(*(case.scores for case in self.cases), strict=True)
        return tuple(_summary(column) for column in columns)

    def overall(self, metric: str) -> float:
        """Mean of the structures' means, unions left out: every structure weighs the same."""
        return _mean(label.means[metric] for label in self.labels if not label.union)

    @cached_property
    def instances(self) -> tuple[InstanceSummary, ...]:
        """Vertebrae, discs, ... over all cases, one entry per kind that some reference shows."""
        return summarise_instances([case.instances for case in self.cases])

    def case_values(self, metric: str) -> dict[str, float]:
        """The mean of each case (see `CaseScore.mean`) by id; cases without any structure are left out."""
        values = {case.id: case.mean(metric) for case in self.cases}
        return {id_: value for id_, value in values.items() if not isnan(value)}

    def case_interval(self, metric: str) -> Interval:
        """Mean of the cases' means with its 95 % interval over patients."""
        return self.interval(self.case_values(metric))

    def label_interval(self, label: LabelSummary, metric: str) -> Interval:
        """Mean of one structure over the cases that show it, with its 95 % interval over patients."""
        return self.interval(self.label_values(label, metric))

    def label_values(self, label: LabelSummary, metric: str) -> dict[str, float]:
        """One structure's figure by id, in the cases where it has one."""
        place = self.labels.index(label)
        values = {case.id: getattr(case.scores[place], metric) for case in self.cases}
        return {id_: value for id_, value in values.items() if not isnan(value)}

    def interval(self, values: Mapping[str, float]) -> Interval:
        """Mean of values by case id, and its interval from resampled patients; NaN of nothing."""
        return bootstrap(by_patient(values, self.patients)) if values else NO_INTERVAL

    def table(self) -> str:
        """Tables to read in a terminal, with what was left out below."""
        from autospine.evaluation.report.text import as_text
        from autospine.evaluation.study import MethodComparison

        return as_text(MethodComparison((self,)))

    def save(self, folder: str | Path) -> None:
        """Writes cases.csv, labels.csv, instances.csv, summary.json and summary.md."""
        from autospine.evaluation.report.text import save
        from autospine.evaluation.study import MethodComparison

        save(MethodComparison((self,)), Path(folder))


def _mean(values: Iterable[float]) -> float:
    known = _known(values)
    return mean(known) if known else NAN


def _deviation(values: Iterable[float]) -> float:
    known = _known(values)
    return stdev(known) if len(known) > 1 else NAN


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not isnan(value)]


def _summary(column: Sequence[LabelScore]) -> LabelSummary:
    shown = [score for score in column if score.presence is not Presence.NEITHER]
    values = {metric: [getattr(score, metric) for score in shown] for metric in METRICS}
    return LabelSummary(
        anatomy=column[0].anatomy,
        name=column[0].name,
        union=column[0].union,
        cases=len(shown),
        absent=len(column) - len(shown),
        means={metric: _mean(found) for metric, found in values.items()},
        deviations={metric: _deviation(found) for metric, found in values.items()},
    )


def complete(cases: Sequence[CaseScore]) -> tuple[tuple[CaseScore, ...], tuple[OneSided, ...]]:
    """Gives every case the same structures and lists the anatomies that only one side has.

    A kind that no reference shows at all was not annotated (discs in a set of vertebrae): it is listed, not
    scored. A level that no reference shows, among annotated ones, is an error and scores 0.
    """
    scores = [score for case in cases for score in case.scores]
    annotated = {_family(score.anatomy.kind) for score in scores if score.presence is not Presence.PREDICTION}
    kept = {
        (score.union, score.anatomy) for score in scores if not annotated or _family(score.anatomy.kind) in annotated
    }
    rows = sorted(kept)
    completed = []
    for case in cases:
        by_row = {(score.union, score.anatomy): score for score in case.scores}
        absent = {row: LabelScore(row[1], Presence.NEITHER, row[0]) for row in rows}
        completed.append(replace(case, scores=tuple((absent | by_row)[row] for row in rows)))
    return tuple(completed), _one_sided(cases, {anatomy for _, anatomy in rows})


def _family(kind: Kind) -> int | Kind:
    return MEMBERS.get(kind, kind)


def _one_sided(cases: Sequence[CaseScore], kept: set[Anatomy]) -> tuple[OneSided, ...]:
    found = []
    sides = {"prediction": Presence.PREDICTION, "reference": Presence.REFERENCE}
    for side, only in sides.items():
        beyond = {anatomy for case in cases for anatomy in (case.beyond or {}).get(side, ())}
        found += [OneSided(anatomy, side, False) for anatomy in sorted(beyond)]
        shown: dict[Anatomy, set[Presence]] = {}
        for case in cases:
            for score in case.scores:
                if not score.union and not case.missing:
                    shown.setdefault(score.anatomy, set()).add(score.presence)
        alone = sorted(anatomy for anatomy, where in shown.items() if where == {only})
        found += [OneSided(anatomy, side, anatomy in kept) for anatomy in alone]
    return tuple(found)
