"""What unseen.py counts of a scan: Dice, whether its levels are right, and whether the answer doubts them.

Levels are **wrong** where at least one vertebra (or vertebral body) that was detected, with an IoU of 0.5 or more, has
another level than its reference: what autospine_evaluate counts as shifted or mixed; and where vertebrae were answered
and none of them lies on one of the reference. A vertebra that was missed or added, with the others named rightly, is
a matter of Dice. What lies above the annotation is left out, as autospine_evaluate leaves it out.

An answer is **flagged** where its report says `ambiguous`, or anything under `implausible`, or has a warning about
levels or vertebrae; warnings about spacing, field of view, sequence and contrast are no flags. **Silently wrong** is
wrong without a flag. An answer **without a vertebra**, or none at all, on a scan whose reference shows some is counted
apart, neither right nor wrong, and is silent where its report has no flag. autospine_evaluate takes `ambiguous` alone
for a flag: the last two columns count by that one.

Where the reference shows no vertebra with a level (discs alone), the same is counted of what it shows with levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from math import isnan
from statistics import mean
from typing import Any

from autospine.core.tables import NONE, Table, csv_text
from autospine.evaluation.case import VERTEBRAE, CaseScore
from autospine.evaluation.structures import LabelScore, Presence
from autospine.labels.anatomy import Kind

ABOUT_LEVELS = ("level", "vertebra")  # words of a warning that make it a flag
ALL = "all"  # the row of a line's sources together


class Outcome(str, Enum):
    """What an answer says of levels, and what is true."""

    RIGHT = "right"
    FLAGGED_RIGHT = "flagged right"
    FLAGGED_WRONG = "flagged wrong"
    SILENTLY_WRONG = "silently wrong"
    NO_VERTEBRA = "no vertebra"
    SILENT_NO_VERTEBRA = "no vertebra, silent"
    UNTOLD = "no levels to compare"


WRONG = (Outcome.SILENTLY_WRONG, Outcome.FLAGGED_WRONG)
UNANSWERED = (Outcome.NO_VERTEBRA, Outcome.SILENT_NO_VERTEBRA)


@dataclass(frozen=True)
class CaseFigure:
    """One scan of one line of the table."""

    line: str  # "without t2", "pooled", or a model's name
    source: str  # name of its data set
    id: str
    seen: bool  # the model was trained on it, or on another scan of its patient
    outcome: Outcome
    flags: tuple[str, ...] = ()
    ambiguous: bool = False  # one of the flags is that levels are ambiguous
    anatomy: str = ""  # "bodies" or "vertebrae"; empty where neither is annotated
    # Dice; None where it is not annotated: of all vertebrae or bodies together, mean of the single levels, of discs'
    # levels, of the canal
    union: float | None = None
    label: float | None = None
    discs: float | None = None
    canal: float | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CaseFigure:
        """Read what `to_dict` gave."""
        return cls(**{**data, "outcome": Outcome(data["outcome"]), "flags": tuple(data["flags"])})

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "outcome": self.outcome.value, "flags": list(self.flags)}


def flags_of(report: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what a report says against its levels; a scan that could not be answered at all is said as well."""
    if report is None:
        return ("the prediction failed",)
    warnings = [text for text in report["warnings"] if any(word in text.lower() for word in ABOUT_LEVELS)]
    return tuple(filter(None, (report["ambiguous"], *report["implausible"], *warnings)))


def levels_wrong(case: CaseScore) -> bool | None:
    """Return whether levels are wrong, as the head of this file says; None where there is nothing to compare."""
    told = [score for score in case.instances if score.levelled and any(match.reference for match in score.matches)]
    told = [score for score in told if score.kind in VERTEBRAE] or told
    matches = [match for score in told for match in score.matches]
    pairs = [(match.prediction, match.reference) for match in matches if match.detected]
    if pairs:
        return any(p.level != r.level for p, r in pairs if p and r)
    return True if any(match.prediction for match in matches) else None


def outcome(case: CaseScore, flagged: bool) -> Outcome:
    """Return what an answer says of levels, and what is true."""
    if case.unanswered:
        return Outcome.NO_VERTEBRA if flagged else Outcome.SILENT_NO_VERTEBRA
    wrong = levels_wrong(case)
    if wrong is None:
        return Outcome.UNTOLD
    if wrong:
        return Outcome.FLAGGED_WRONG if flagged else Outcome.SILENTLY_WRONG
    return Outcome.FLAGGED_RIGHT if flagged else Outcome.RIGHT


def annotated_kinds(cases: Iterable[CaseScore]) -> set[Kind]:
    """Return the kinds that at least one reference of a data set shows."""
    scores = [score for case in cases for score in case.scores]
    return {score.anatomy.kind for score in scores if score.presence in (Presence.BOTH, Presence.REFERENCE)}


def case_figure(
    line: str, source: str, seen: bool, case: CaseScore, report: Mapping[str, Any] | None, annotated: set[Kind]
) -> CaseFigure:
    """Return the figures of a scan.

    Args:
        line: Of the table.
        source: Name of its data set.
        seen: Whether the model knows the scan or its patient.
        case: Its scores.
        report: What <id>.json says; None where the prediction failed.
        annotated: Kinds that the data set's references show.
    """
    flags = flags_of(report)
    vertebrae = [kind for kind in VERTEBRAE if kind in annotated]

    def dice(kinds: Sequence[Kind], wanted: Callable[[LabelScore], bool]) -> float | None:
        scores = [s for s in case.scores if s.anatomy.kind in kinds and s.presence is not Presence.NEITHER]
        values = [s.dice for s in scores if wanted(s) and not isnan(s.dice)]
        return mean(values) if values and annotated.intersection(kinds) else None

    together = dice(vertebrae, lambda score: score.all_levels)
    return CaseFigure(
        line=line,
        source=source,
        id=case.id,
        seen=seen,
        outcome=outcome(case, bool(flags)),
        flags=flags,
        ambiguous=bool(report and report["ambiguous"]),
        anatomy="" if not vertebrae else "bodies" if vertebrae == [Kind.BODY] else "vertebrae",
        union=dice(vertebrae, lambda score: score.anatomy.level is None) if together is None else together,
        label=dice(vertebrae, lambda score: score.anatomy.level is not None),
        discs=dice([Kind.DISC], lambda score: score.anatomy.level is not None),
        canal=dice([Kind.CANAL], lambda score: True),
    )


@dataclass(frozen=True)
class Summary:
    """One row of the table: the scans of a data set in a line, those that the model knows apart from the others."""

    line: str
    source: str  # or "all"
    seen: bool
    cases: tuple[CaseFigure, ...]

    def mean(self, name: str) -> float | None:
        """Return the mean of a figure over the scans that have it."""
        values = [value for case in self.cases if (value := getattr(case, name)) is not None]
        return mean(values) if values else None

    def count(self, *outcomes: Outcome) -> int:
        """Return how many scans came out so."""
        return sum(case.outcome in outcomes for case in self.cases)

    @property
    def cells(self) -> dict[str, str | int | float | None]:
        """Return the row by the names of its columns."""
        unions = [case.union for case in self.cases if case.union is not None]
        return {
            "line": self.line,
            "source": self.source,
            "scans are": "seen" if self.seen else "unseen",
            "scored": ", ".join(sorted({case.anatomy for case in self.cases} - {""})),
            "scans": len(self.cases),
            "union": self.mean("union"),
            "lowest": min(unions, default=None),
            "label": self.mean("label"),
            "discs": self.mean("discs"),
            "canal": self.mean("canal"),
            "right": self.count(Outcome.RIGHT),
            "silently wrong": self.count(Outcome.SILENTLY_WRONG),
            "flagged wrong": self.count(Outcome.FLAGGED_WRONG),
            "flagged right": self.count(Outcome.FLAGGED_RIGHT),
            "no vertebra": self.count(*UNANSWERED),
            "of these silent": self.count(Outcome.SILENT_NO_VERTEBRA),
            "wrong, not ambiguous": sum(case.outcome in WRONG and not case.ambiguous for case in self.cases),
            "right, ambiguous": sum(case.outcome is Outcome.FLAGGED_RIGHT and case.ambiguous for case in self.cases),
        }


def summarise(cases: Iterable[CaseFigure]) -> list[Summary]:
    """Group scans by line, data set and whether the model knows them; several data sets get a row together."""
    groups: dict[tuple[str, bool], dict[str, list[CaseFigure]]] = {}
    for case in cases:
        groups.setdefault((case.line, case.seen), {}).setdefault(case.source, []).append(case)
    rows = []
    for (line, seen), sources in groups.items():
        rows += [Summary(line, source, seen, tuple(members)) for source, members in sources.items()]
        if len(sources) > 1:
            rows.append(Summary(line, ALL, seen, tuple(case for members in sources.values() for case in members)))
    return rows


def summary_table(rows: Sequence[Summary]) -> Table:
    """Return the table for the terminal and for Markdown."""
    cells = [row.cells for row in rows]
    lines = [tuple(cells[0]), *(tuple(map(_text, row.values())) for row in cells)]
    note = "Dice: all levels together, the lowest such scan, mean of single levels, of discs, of the canal."
    return Table("Scans that training had not seen, and those that it had", tuple(lines), note, text_columns=4)


def summary_csv(rows: Sequence[Summary]) -> str:
    """Return the same as CSV, with every digit that matters."""
    cells = [row.cells for row in rows]
    return csv_text(list(cells[0]), [list(row.values()) for row in cells])


def cases_csv(cases: Sequence[CaseFigure], looked_at: set[str]) -> str:
    """Return a row for each scan."""
    plain = [case.to_dict() for case in cases]
    rows = [
        [*(one | {"flags": "; ".join(one["flags"])}).values(), "yes" if name_of(case) in looked_at else "no"]
        for one, case in zip(plain, cases, strict=True)
    ]
    return csv_text([*plain[0], "looked at before"], rows)


def name_of(case: CaseFigure) -> str:
    """Return the id that a scan has among several data sets."""
    return f"{case.source}-{case.id}"


def looked_at_lines(rows: Sequence[Summary], looked_at: set[str]) -> list[str]:
    """Return a line for each row: which scans it is about, those looked at before with a star."""
    lines = []
    for row in rows:
        if row.source != ALL:
            ids = ", ".join(case.id + ("*" if name_of(case) in looked_at else "") for case in row.cases)
            lines.append(f"{row.line}, {row.source}, {'seen' if row.seen else 'unseen'}: {ids}")
    return lines


def _text(cell: str | float | None) -> str:
    if cell is None:
        return NONE
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
