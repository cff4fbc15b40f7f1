"""What became of every instance of the references, level by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autospine.evaluation.evaluation import Evaluation
from autospine.evaluation.instances import Match
from autospine.evaluation.tables import PLURALS
from autospine.labels.anatomy import Anatomy


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
