"""Checks of masks against their label scheme: do the labels lie where the scheme says?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from autospine.core.errors import UserError
from autospine.dataset.verify import OWN_SCHEME
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.label_order import AGREEMENT, agreement, height_order, row_overlap
from autospine.labels.anatomy import Kind
from autospine.labels.schemes import SCHEMES, LabelScheme

SIDE_BY_SIDE = 0.9  # row overlap from which two levels of one kind cannot be neighbours along the spine
NEARLY = 0.02  # schemes whose agreement differs by less are both suggested


def annotation_problems(cases: Sequence[CaseFingerprint], scheme: LabelScheme) -> list[UserError]:
    """Find masks without any label at all, and labels whose positions contradict their scheme."""
    if not any(case.centroids for case in cases):
        return [UserError("masks", "hold no label in any case", "check that they are the right files")]
    problem = contradiction(cases, scheme)
    if problem is None:
        return []
    candidates = fitting_schemes(cases, scheme)
    hint = f"give {' or '.join(f'--labels {name}' for name in candidates)}, or {OWN_SCHEME}"
    return [UserError("masks", problem, hint if candidates else OWN_SCHEME)]


def contradiction(cases: Sequence[CaseFingerprint], scheme: LabelScheme) -> str | None:
    """Say what in the labels' positions contradicts their scheme, or None.

    The heights of all levelled labels, discs between vertebrae included, must rise with their levels;
    neighbouring levels of one kind must not cover the same rows.
    """
    ranks = height_order(scheme)
    beside = [overlap for case in cases for overlap in _neighbour_overlaps(case, scheme, ranks)]
    if beside and sum(overlap >= SIDE_BY_SIDE for overlap in beside) > len(beside) / 2:
        return f"do not fit the label scheme {scheme.name}: levels of one kind lie side by side"
    share = agreement(cases, ranks)
    if share < AGREEMENT:
        how = "count downward or the scans stand upside down" if share < 1 - AGREEMENT else "follow another order"
        return f"do not fit the label scheme {scheme.name}: the labels {how} ({share:.0%} of pairs fit)"
    return None


def _neighbour_overlaps(case: CaseFingerprint, scheme: LabelScheme, ranks: Mapping[int, int]) -> Iterable[float]:
    by_kind: dict[str, list[tuple[int, int]]] = {}
    for value in case.boxes:
        if value in ranks:
            by_kind.setdefault(scheme.anatomies[value].kind.value, []).append((ranks[value], value))
    for members in by_kind.values():
        for (_, low), (_, high) in pairwise(sorted(members)):
            yield row_overlap(case.boxes[low], case.boxes[high])


def fitting_schemes(cases: Sequence[CaseFingerprint], scheme: LabelScheme) -> list[str]:
    """Name the built-in schemes that agree best with the labels' positions, at most three.

    Schemes that leave fewest labels without a height come first.
    """
    values = {value for case in cases for value in case.centroids}
    fitting = []
    for name, other in SCHEMES.items():
        named = {value for value, anatomy in other.anatomies.items() if anatomy.kind is not Kind.STRUCTURE}
        if name == scheme.name or not values <= named or contradiction(cases, other):
            continue
        ranks = height_order(other)
        unordered = len(values) - len(values & set(ranks))
        fitting.append((agreement(cases, ranks), unordered, len(other.anatomies), name))
    best = max((share for share, *_ in fitting), default=0.0)
    near = sorted(rest for share, *rest in fitting if share >= best - NEARLY)
    return [str(name) for *_, name in near[:3]]
