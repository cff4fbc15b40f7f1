"""What became of every instance of the references, level by level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autospine.core.tables import counted
from autospine.evaluation.case import CaseScore
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.instance_counts import InstanceMatch
from autospine.evaluation.report.tables import LEVELS, plural
from autospine.evaluation.structures import Presence
from autospine.labels.anatomy import Anatomy

RIGHT, WRONG_LEVEL, FALSE_NEGATIVE = "right", "wrong level", "false negative"
OUTCOMES = (RIGHT, WRONG_LEVEL, FALSE_NEGATIVE)
IN_ONE_MASK = {Presence.REFERENCE: FALSE_NEGATIVE, Presence.PREDICTION: "false positive"}


LevelCounts = Mapping[str, Mapping[str, int]]  # by a level's name for people, then by `OUTCOMES`


def level_counts(evaluation: Evaluation) -> dict[str, LevelCounts]:
    """Count instances by kind, from the lowest level up; kinds without levels are left out."""
    by_kind: dict[str, dict[Anatomy, dict[str, int]]] = {}
    for case in evaluation.cases:
        for score in case.instances:
            for match in score.matches if score.levelled else ():
                if match.reference is not None and not (match.partial or match.unmatched_label):
                    levels = by_kind.setdefault(plural(score.kind), {})
                    counts = levels.setdefault(match.reference, dict.fromkeys(OUTCOMES, 0))
                    counts[outcome(match)] += 1
    return {
        kind: {anatomy.short_name: levels[anatomy] for anatomy in sorted(levels)} for kind, levels in by_kind.items()
    }


def outcome(match: InstanceMatch) -> str:
    """Return what became of an instance of the reference."""
    if not match.detected or match.prediction is None or match.reference is None:
        return FALSE_NEGATIVE
    return RIGHT if match.prediction.level == match.reference.level else WRONG_LEVEL


def errors(case: CaseScore) -> Iterator[str]:
    """Return what went wrong with the instances and structures of a case, a line each."""
    if case.ambiguous:
        yield f"levels {LEVELS[case.levels_wrong]}, flagged as ambiguous: {case.ambiguous}"
    named: set[Anatomy | None] = set()
    for score in case.instances:
        shift = score.level_shift or 0
        if shift:
            direction = "high" if shift > 0 else "low"
            yield f"all {plural(score.kind)} are numbered {counted(abs(shift), 'level')} too {direction}"
        for match in score.matches:
            named |= {match.reference, match.prediction}
            if not (shift and match.detected):
                yield from _error(match)
    for label in case.scores:
        if label.anatomy not in named and not label.all_levels and label.presence in IN_ONE_MASK:
            yield f"{label.name}: {IN_ONE_MASK[label.presence]}"


def _error(match: InstanceMatch) -> Iterator[str]:
    if match.partial or match.unmatched_label:
        return
    prediction, reference = (anatomy.name if anatomy else "" for anatomy in (match.prediction, match.reference))
    if match.detected and match.prediction != match.reference and match.identified is False:
        yield f"{reference} is called {prediction}"
    elif match.false_negative and match.false_positive:
        yield f"{reference}: IoU {match.iou:.2f} with {prediction} only"
    elif match.false_negative:
        yield f"{reference}: {FALSE_NEGATIVE}"
    elif match.false_positive:
        yield f"{prediction}: false positive"
