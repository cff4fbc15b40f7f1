"""What became of every instance of the references, level by level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autospine.evaluation.cohort import CaseScore, Evaluation
from autospine.evaluation.instances import Match
from autospine.evaluation.report.tables import PLURALS
from autospine.evaluation.structures import Presence
from autospine.labels.anatomy import Anatomy

ONE_SIDED = {Presence.REFERENCE: "missed", Presence.PREDICTION: "invented"}


@dataclass(frozen=True)
class LevelCounts:
    """One level.

    Attributes:
        name: For people.
        counts: "right", "wrong level", "missed".
    """

    name: str
    counts: Mapping[str, int]


def level_counts(evaluation: Evaluation) -> dict[str, list[LevelCounts]]:
    """By kind, from the lowest level up; kinds without levels are left out."""
    found: dict[str, dict[Anatomy, dict[str, int]]] = {}
    for case in evaluation.cases:
        for score in case.instances:
            for match in score.matches if score.levelled else ():
                if match.reference is not None and not (match.partial or match.beyond):
                    kind = found.setdefault(PLURALS.get(score.kind, score.kind.value), {})
                    counts = kind.setdefault(match.reference, {"right": 0, "wrong level": 0, "missed": 0})
                    counts[outcome(match)] += 1
    return {
        kind: [LevelCounts(anatomy.short_name, levels[anatomy]) for anatomy in sorted(levels)]
        for kind, levels in found.items()
    }


def outcome(match: Match) -> str:
    """What became of an instance of the reference."""
    if not match.detected or match.prediction is None or match.reference is None:
        return "missed"
    return "right" if match.prediction.level == match.reference.level else "wrong level"


def faults(case: CaseScore) -> Iterator[str]:
    """What went wrong with the instances and structures of a case, a line each."""
    told: set[Anatomy | None] = set()
    for score in case.instances:
        shift = score.level_shift or 0
        if shift:
            kind = PLURALS.get(score.kind, score.kind.value)
            way = "high" if shift > 0 else "low"
            yield f"all {kind} are numbered {abs(shift)} level{'s' if abs(shift) > 1 else ''} too {way}"
        for match in score.matches:
            told |= {match.reference, match.prediction}
            if not (shift and match.detected):
                yield from _fault(match)
    for label in case.scores:
        if label.anatomy not in told and not label.union and label.presence in ONE_SIDED:
            yield f"{label.name}: {ONE_SIDED[label.presence]}"


def _fault(match: Match) -> Iterator[str]:
    if match.partial or match.beyond:
        return
    ours, theirs = (one.name if one else "" for one in (match.prediction, match.reference))
    if match.detected and match.prediction != match.reference and match.identified is False:
        yield f"{theirs} is called {ours}"
    elif match.missed and match.false_positive:
        yield f"{theirs}: IoU {match.iou:.2f} with {ours} only"
    elif match.missed:
        yield f"{theirs}: missed"
    elif match.false_positive:
        yield f"{ours}: invented"
