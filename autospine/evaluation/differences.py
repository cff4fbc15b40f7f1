"""Why the official figures of SPIDER's script differ from the corrected ones: one line per rule that mattered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isnan
from statistics import mean

from autospine.evaluation.protocol import ChallengeCase
from autospine.evaluation.spider import CANAL, NO_CANAL


def differences(official: Sequence[ChallengeCase]) -> tuple[str, ...]:
    """One line for each rule of the script that changed a figure here."""
    return tuple(line for rule in RULES if (line := rule(official)))


def _by_overlap(official: Sequence[ChallengeCase]) -> str:
    pairs = {case.id: [m for m in case.matches if m.prediction not in (0, m.reference)] for case in official}
    count, cases = sum(map(len, pairs.values())), sum(map(bool, pairs.values()))
    shifts = [
        abs(m.prediction - m.reference) == 1 and max(m.prediction, m.reference) < CANAL
        for found in pairs.values()
        for m in found
    ]
    level = f" ({sum(shifts)} of them vertebrae, one level off)" if any(shifts) else ""
    return _line(count, "label", f"matched by overlap to a label of another number, at no cost there{level}", cases)


def _invented(official: Sequence[ChallengeCase]) -> str:
    count, cases = sum(case.invented for case in official), sum(case.invented > 0 for case in official)
    return _line(count, "predicted label", "with no counterpart (false positives) cost nothing there", cases)


def _shared(official: Sequence[ChallengeCase]) -> str:
    counts = [_repeated(m.prediction for m in case.matches if m.prediction) for case in official]
    text = "taken for several structures of the reference at once"
    return _line(sum(counts), "predicted label", text, sum(count > 0 for count in counts))


def _repeated(values: Iterable[int]) -> int:
    found = list(values)
    return sum(found.count(value) > 1 for value in set(found))


def _undetected(official: Sequence[ChallengeCase]) -> str:
    counts = [
        sum(not m.detected and (m.reference < CANAL or m.reference > 200) for m in case.matches) for case in official
    ]
    text = "with a Dice below 0.1 left out of the mean Dice of vertebrae and discs there (0 here)"
    return _line(sum(counts), "structure", text, sum(count > 0 for count in counts))


def _without_overlap(official: Sequence[ChallengeCase]) -> str:
    counts = [sum(m.prediction == 0 for m in case.matches) for case in official]
    text = "without any overlap: the ASD is NaN there and its case's mean is skipped (here the image's diagonal)"
    return _line(sum(counts), "structure", text, sum(count > 0 for count in counts))


def _spacing(official: Sequence[ChallengeCase]) -> str:
    concerned = [case for case in official if case.mixed_spacing and _measured(case)]
    if not concerned:
        return ""
    there, right = (mean(_measured(case, right) for case in concerned) for right in (False, True))
    effect = f": overall ASD {there:.3f} mm there, {right:.3f} mm with the right order and the same rules"
    return f"spacing read in the wrong order ({_cases(len(concerned))}){effect}"


def _measured(case: ChallengeCase, right: bool = False) -> float:
    """Mean distance of a case's matches, those without overlap left out; 0 if there are none."""
    values = [match.asd_right_mm if right else match.asd_mm for match in case.matches]
    known = [value for value in values if not isnan(value)]
    return mean(known) if known else 0.0


def _no_canal(official: Sequence[ChallengeCase]) -> str:
    count = sum(case.score is not None and case.score.dice_canal == NO_CANAL for case in official)
    return f"no canal in the reference ({_cases(count)}): 999 enters the canal's means there" if count else ""


def _between(official: Sequence[ChallengeCase]) -> str:
    counts = [sum(CANAL < m.reference <= 200 for m in case.matches) for case in official]
    text = "from 101 to 200 (partial vertebrae) counted in the overall figures only"
    return _line(sum(counts), "reference label", text, sum(count > 0 for count in counts))


def _other_grid(official: Sequence[ChallengeCase]) -> str:
    count = sum(case.other_grid for case in official)
    text = "not looked at there (here put in order if only the order of voxels differs, else an error)"
    return f"prediction on another grid ({_cases(count)}): {text}" if count else ""


def _missing(official: Sequence[ChallengeCase]) -> str:
    count = sum(case.missing for case in official)
    text = "scored as an empty mask in both columns (the script itself needs a file)"
    return f"no prediction ({_cases(count)}): {text}" if count else ""


def _dead(official: Sequence[ChallengeCase]) -> str:
    count = sum(case.score is None for case in official)
    return f"the script dies ({_cases(count)}): not in the official column, see the errors" if count else ""


RULES: tuple[Callable[[Sequence[ChallengeCase]], str], ...] = (
    _by_overlap, _invented, _shared, _undetected, _without_overlap, _spacing,
    _no_canal, _between, _other_grid, _missing, _dead,
)  # fmt: skip


def _line(count: int, noun: str, text: str, cases: int) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'} {text} ({_cases(cases)})" if count else ""


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"
