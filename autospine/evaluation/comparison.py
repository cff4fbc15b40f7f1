"""What can be compared between masks of two label schemes."""

from __future__ import annotations

from dataclasses import dataclass

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import Conversion, conversion
from autospine.labels.schemes import BACKGROUND, LabelScheme

GROUPS = {1: Anatomy(Kind.VERTEBRA), 2: Anatomy(Kind.DISC)}
MEMBERS = {Kind.VERTEBRA: 1, Kind.PARTIAL_VERTEBRA: 1, Kind.DISC: 2}


@dataclass(frozen=True)
class Comparison:
    """Both schemes brought to the anatomies that they share.

    Attributes:
        prediction: From the prediction's integers to rows 1, 2, ... of the shared anatomies.
        reference: From the reference's integers to the same rows.
        prediction_groups: From the prediction's integers to unions: 1 all vertebrae, 2 all discs.
        reference_groups: The same for the reference.
        groups: The unions worth a row of their own, because their members have levels.
    """

    prediction: Conversion
    reference: Conversion
    prediction_groups: Conversion
    reference_groups: Conversion
    groups: tuple[int, ...]

    @property
    def rows(self) -> tuple[Anatomy, ...]:
        """The shared anatomies, in the order of their rows."""
        return tuple(self.reference.target.anatomies.values())


def compare(prediction: LabelScheme, reference: LabelScheme) -> Comparison:
    """Finds the finest anatomies at which two schemes meet.

    Levels are dropped where only one side has them: "vertebra" against L1 to L5 is compared as "vertebra".
    What has no counterpart counts as background and is in the conversions' `lost`; the unions still hold it.
    """
    there, back = conversion(prediction, reference), conversion(reference, prediction)
    ours, theirs = _meeting_points(there, back), _meeting_points(back, there)
    rows = sorted({*ours.values(), *theirs.values()})
    kinds = {row.kind for row in rows if row.level is not None}
    levelled = {MEMBERS[kind] for kind in kinds if kind in MEMBERS}
    return Comparison(
        _to_rows(prediction, ours, rows),
        _to_rows(reference, theirs, rows),
        _to_groups(prediction),
        _to_groups(reference),
        tuple(group for group in sorted(levelled) if GROUPS[group] not in rows),
    )


def _meeting_points(there: Conversion, back: Conversion) -> dict[int, Anatomy]:
    """For each integer of one side the anatomy at which it meets the other side."""
    reached = {back.target.anatomies[place] for place in back.table.values() if place in back.target.anatomies}
    found = {}
    for value, anatomy in there.source.anatomies.items():
        place = there.table[value]
        if place != BACKGROUND:
            found[value] = there.target.anatomies[place]
        elif anatomy in reached:
            found[value] = anatomy
    return found


def _to_rows(scheme: LabelScheme, meeting: dict[int, Anatomy], rows: list[Anatomy]) -> Conversion:
    places = {anatomy: row for row, anatomy in enumerate(rows, start=1)}
    table = {value: places[meeting[value]] if value in meeting else BACKGROUND for value in scheme.anatomies}
    lost = {anatomy for value, anatomy in scheme.anatomies.items() if value not in meeting}
    return _conversion(scheme, dict(enumerate(rows, start=1)), table, lost)


def _to_groups(scheme: LabelScheme) -> Conversion:
    table = {value: MEMBERS.get(anatomy.kind, BACKGROUND) for value, anatomy in scheme.anatomies.items()}
    return _conversion(scheme, GROUPS, table, set())


def _conversion(
    source: LabelScheme, anatomies: dict[int, Anatomy], table: dict[int, int], lost: set[Anatomy]
) -> Conversion:
    """Unlabelled voxels get the value above all rows."""
    target = LabelScheme("comparison", anatomies, ignore_label=len(anatomies) + 1)
    marked = {} if source.ignore_label is None else {source.ignore_label: len(anatomies) + 1}
    return Conversion(source, target, {BACKGROUND: BACKGROUND, **table, **marked}, tuple(sorted(lost)))
