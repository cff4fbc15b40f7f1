"""Scores of many cases: per structure, per case and overall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isnan
from pathlib import Path
from statistics import mean, stdev

from autospine.evaluation.comparison import MEMBERS
from autospine.evaluation.scoring import METRICS, NAN, LabelScore, Presence
from autospine.labels.anatomy import Anatomy, Kind


@dataclass(frozen=True)
class CaseScore:
    """Scores of one case.

    Attributes:
        id: The case.
        scores: One per structure that the evaluation scores; "absent in both" ones included.
        missing: There was no prediction: everything in the reference scores 0.
        beyond: What each mask shows that the other's scheme cannot express, per side.
    """

    id: str
    scores: tuple[LabelScore, ...]
    missing: bool = False
    beyond: Mapping[str, tuple[Anatomy, ...]] | None = None

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
class Evaluation:
    """Scores of a set of cases.

    Attributes:
        cases: In the order of their ids; every case has the same structures.
        pred_scheme: Label scheme of the predictions.
        ref_scheme: Label scheme of the references.
        one_sided: Anatomies that only predictions or only references hold.
        extra: Ids of predictions without a reference.
        failures: What went wrong with cases that could not be scored, a line each.
    """

    cases: tuple[CaseScore, ...]
    pred_scheme: str
    ref_scheme: str
    one_sided: tuple[OneSided, ...] = ()
    extra: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

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

    def table(self) -> str:
        """A table to read, with the cases and what was left out below."""
        from autospine.evaluation.report import as_text

        return as_text(self)

    def save(self, folder: str | Path) -> None:
        """Writes cases.csv, summary.json and summary.md."""
        from autospine.evaluation.report import save

        save(self, Path(folder))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return mean(known) if known else NAN


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
        deviations={metric: stdev(found) if len(found) > 1 else NAN for metric, found in values.items()},
    )


def complete(cases: Sequence[CaseScore]) -> tuple[tuple[CaseScore, ...], tuple[OneSided, ...]]:
    """Gives every case the same structures and lists the anatomies that only one side has.

    A kind that no reference shows at all was not annotated (discs in a set of vertebrae): it is listed, not
    scored. A level that no reference shows, among annotated ones, is an error and scores 0.
    """
    scores = [score for case in cases for score in case.scores]
    annotated = {_family(score.anatomy.kind) for score in scores if score.presence is not Presence.PREDICTION}
    kept = {
        (score.union, score.anatomy)
        for score in scores
        if not annotated or _family(score.anatomy.kind) in annotated
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
