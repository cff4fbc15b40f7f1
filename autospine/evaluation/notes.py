"""What has to be said below the tables: what was left out, what failed, what the numbers assume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.differences import differences
from autospine.evaluation.pairing import suggestions
from autospine.evaluation.systems import by_patient

FOOTER = "Names assume five lumbar vertebrae. For research, not a medical device."
EXPLANATION = (
    "Means over cases. A structure in only one of both masks scores 0, its distances are the image's "
    'diagonal; "absent" counts cases where neither mask shows it (in no mean). "All ..." rows are in no '
    "mean of a case and not in the overall one where single levels are scored."
)


def heading(evaluation: Evaluation) -> str:
    """What was scored, one line."""
    count = len(evaluation.cases)
    patients = len(by_patient({case.id: 0.0 for case in evaluation.cases}, evaluation.patients))
    labels = f"labels of predictions: {evaluation.pred_scheme}, of references: {evaluation.ref_scheme}"
    people = f" of {patients} patient{'' if patients == 1 else 's'}" if patients else ""
    return f"Scores of {count} case{'' if count == 1 else 's'}{people} ({labels})"


def notes(evaluation: Evaluation, most: int | None = None) -> Iterator[str]:
    """One line per thing that a reader must not miss; of cases that were not scored `most`, None for all."""
    yield EXPLANATION
    if evaluation.missing:
        yield f"No prediction (scored 0): {', '.join(evaluation.missing)}"
    if evaluation.extra:
        yield f"Predictions without a reference (not scored): {', '.join(extras(evaluation))}"
    if evaluation.one_sided:
        yield f"On one side only: {', '.join(str(one) for one in evaluation.one_sided)}"
    yield from _listed("Not scored", unscored(evaluation), most)
    yield from _listed("Not scored by SPIDER's rules, only by ours", unscored_officially(evaluation), most)


def _listed(title: str, lines: Sequence[str], most: int | None) -> Iterator[str]:
    for line in lines[:most]:
        yield f"{title}: {line}"
    more = 0 if most is None else len(lines) - most
    if more > 0:
        yield f"{title}: {more} more case{'' if more == 1 else 's'}, see the errors"


def unscored(evaluation: Evaluation) -> list[str]:
    """Why cases have no scores, a line each."""
    other = unscored_officially(evaluation)
    return [line for line in evaluation.failures if line not in other]


def unscored_officially(evaluation: Evaluation) -> list[str]:
    """Why cases have scores, but none by SPIDER's rules, a line each."""
    scored = {case.id for case in evaluation.cases}
    return [case.problem for case in evaluation.official if case.problem and case.id in scored]


def extras(evaluation: Evaluation) -> list[str]:
    """Ids of predictions without a reference, with the reference that they may mean."""
    near = suggestions(evaluation.extra, evaluation.missing) if evaluation.missing else {}
    return [f"{id_} (is it {near[id_]}?)" if id_ in near else id_ for id_ in evaluation.extra]


def official_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """Why the official figures differ from the corrected ones; nothing without the protocol."""
    if not evaluation.official:
        return ()
    return differences(evaluation.official) or ("none of the script's rules changed a figure here",)
