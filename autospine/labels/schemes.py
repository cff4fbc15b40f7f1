"""Label schemes: which integer stands for which anatomy; the built-in ones.

Sources: SPIDER (Zenodo 10159290), MRSpineSeg, the five papers, and the label lists that
TotalSpineSeg (`tss_map`), TotalSegmentator (`class_map`, version 2: tasks `total`, `total_mr`, `vertebrae_mr`) and
SPINEPS (TPTBox `Vertebra_Instance`) publish.

Levels count from the lowest lumbar vertebra, whereas those three tools count from the neck and name a sixth lumbar or
a thirteenth thoracic vertebra (TotalSpineSeg 46, SPINEPS 25 and 28). In a mask that holds one the levels above it are
one higher (`LabelScheme.shown_by`); a data set to be learnt has one scheme for all masks, so there it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

from autospine.core.errors import UserError
from autospine.labels.anatomy import LUMBAR, Anatomy, Kind

BACKGROUND = 0
USUAL_IGNORE_LABEL = 255
HIGHEST_LABEL = 2**31 - 1  # that a mask can hold
SCHEME_FORM = 'write {"name": ..., "labels": {"1": "vertebra:1", ...}, "ignore_label": 255 or null}'
VERTEBRAE_TO_C1 = 24  # five lumbar, twelve thoracic, seven cervical


@dataclass(frozen=True)
class ExtraVertebra:
    """A vertebra that few people have, L6 or T13, in a scheme that counts from the neck.

    Attributes:
        labels: Anatomy of each of its labels where it is the only extra vertebra; a mask that holds any of them has it.
    """

    labels: Mapping[int, Anatomy]

    def insert(self, anatomies: Mapping[int, Anatomy], lower: int) -> dict[int, Anatomy]:
        """Return the anatomies with this one's, levels above it one higher; `lower` extra ones lie below it."""
        lowest = {anatomy.kind: (anatomy.level or 0) + lower for anatomy in self.labels.values()}
        raised = {
            value: replace(anatomy, level=anatomy.level + 1)
            if anatomy.level and anatomy.level >= lowest.get(anatomy.kind, inf)
            else anatomy
            for value, anatomy in anatomies.items()
        }
        return raised | {value: replace(anatomy, level=lowest[anatomy.kind]) for value, anatomy in self.labels.items()}


@dataclass(frozen=True)
class LabelScheme:
    """A two-way map between integers and anatomies. 0 is background in every scheme.

    Attributes:
        name: What `--labels` calls it.
        anatomies: The anatomy of each integer. Several integers may share one anatomy.
        ignore_label: Voxels with this value are not annotated: no loss, no score.
        negative_ignore_label: The integer that files hold for the ignore label where that is negative (nnU-Net's -1).
        extra: Vertebrae beyond C1 to L5 that a mask may hold, from the lowest up.
    """

    name: str
    anatomies: Mapping[int, Anatomy]
    ignore_label: int | None = None
    negative_ignore_label: int | None = None
    extra: tuple[ExtraVertebra, ...] = ()

    def __post_init__(self) -> None:
        for value, what in ((BACKGROUND, "background"), (self.ignore_label, "unlabelled voxels")):
            if value in self.anatomies:
                raise UserError(f"label scheme {self.name}", f"uses {value}, which means {what}", "take another value")
        if self.ignore_label == BACKGROUND:
            raise UserError(f"label scheme {self.name}", "has the ignore label 0", "0 is background")

    def value_of(self, anatomy: Anatomy) -> int | None:
        """Return the integer of exactly this anatomy (the smallest if several), or None."""
        return self._values.get(anatomy)

    @property
    def negative(self) -> tuple[int, int] | None:
        """Return the negative integer of the files and the ignore label that it is read as, for `read_mask`."""
        if self.negative_ignore_label is None or self.ignore_label is None:
            return None
        return self.negative_ignore_label, self.ignore_label

    @classmethod
    def with_ignore_label(cls, name: str, anatomies: Mapping[int, Anatomy], declared: int | None) -> LabelScheme:
        """Return a scheme with the ignore label that is declared; a negative one is read as 255 or the next free."""
        if declared is None or declared >= 0:
            return cls(name, anatomies, declared)
        return cls(name, anatomies, free_value(anatomies), declared)

    def shown_by(self, labels: Iterable[int]) -> LabelScheme:
        """Return the scheme of a mask with these labels: the extra vertebrae that it shows have levels, too."""
        shown = set(labels)
        anatomies, lower = self.anatomies, 0
        for vertebra in self.extra:
            if shown & set(vertebra.labels):
                anatomies, lower = vertebra.insert(anatomies, lower), lower + 1
        return replace(self, anatomies=anatomies, extra=()) if lower else self

    @cached_property
    def _values(self) -> dict[Anatomy, int]:
        return {self.anatomies[value]: value for value in sorted(self.anatomies, reverse=True)}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: name, labels (integer to anatomy key), ignore_label."""
        labels = {str(value): anatomy.key for value, anatomy in self.anatomies.items()}
        ignored = self.ignore_label if self.negative_ignore_label is None else self.negative_ignore_label
        return {"name": self.name, "labels": labels, "ignore_label": ignored}

    @classmethod
    def from_dict(cls, data: Any, where: str | Path = "label scheme") -> LabelScheme:
        """Read what `to_dict` gave, or what a person wrote that way.

        Args:
            data: A mapping with "labels" and, if wanted, "name" and "ignore_label".
            where: The file that an error names.

        Raises:
            UserError: A key is unknown, a label is no integer or an anatomy is unknown.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("labels"), Mapping):
            raise UserError(where, 'holds no object "labels"', SCHEME_FORM)
        unknown = sorted(set(data) - {"name", "labels", "ignore_label"})
        if unknown:
            raise UserError(where, f"has the unknown key {unknown[0]!r}", SCHEME_FORM)
        ignore_label = data.get("ignore_label")
        if ignore_label is not None and (not isinstance(ignore_label, int) or isinstance(ignore_label, bool)):
            raise UserError(where, f'"ignore_label" is {ignore_label!r}, no integer', SCHEME_FORM)
        ignore_label = ignore_label if ignore_label is None else _integer(ignore_label, where)
        anatomies: dict[int, Anatomy] = {}
        for text, key in data["labels"].items():
            value = _integer(text, where)
            if value < 0:
                hint = 'number the labels from 0; "ignore_label" may be negative'
                raise UserError(where, f"has the negative label {value}", hint)
            if value in anatomies:
                raise UserError(where, f"lists the label {value} twice", SCHEME_FORM)
            anatomies[value] = Anatomy.parse(str(key), str(where))
        return cls.with_ignore_label(str(data.get("name", Path(where).stem)), anatomies, ignore_label)


def free_value(anatomies: Mapping[int, Anatomy]) -> int:
    """Return 255, or the next integer above that stands for nothing."""
    return next(value for value in count(USUAL_IGNORE_LABEL) if value not in anatomies)


def _integer(text: Any, where: str | Path) -> int:
    try:
        value = int(text)
    except (TypeError, ValueError) as error:
        raise UserError(where, f"has the label {text!r}, no integer", SCHEME_FORM) from error
    if abs(value) > HIGHEST_LABEL:
        raise UserError(where, f"has the label {value}, which no mask holds", f"number the labels to {HIGHEST_LABEL}")
    return value


def _levels(kind: Kind, values: Iterable[int], lowest: int = 1) -> dict[int, Anatomy]:
    """Map values to consecutive levels, from `lowest` up."""
    return {value: Anatomy(kind, level) for level, value in enumerate(values, start=lowest)}


def _plain(values: Iterable[int]) -> dict[int, Anatomy]:
    """Map values to structures that this project has no word for, kept apart by their own integer."""
    return {value: Anatomy(Kind.STRUCTURE, value) for value in values}


def _scheme(name: str, *tables: Mapping[int, Anatomy]) -> LabelScheme:
    merged = {value: anatomy for table in tables for value, anatomy in table.items()}
    return LabelScheme(name, dict(sorted(merged.items())))


def _mrspineseg(name: str, levels: int) -> LabelScheme:
    return _scheme(
        name,
        {1: Anatomy(Kind.SACRUM)},
        _levels(Kind.VERTEBRA, range(2, 2 + levels)),
        _levels(Kind.DISC, range(2 + levels, 2 + 2 * levels)),
    )


def _totalspineseg() -> LabelScheme:
    """Build C1..C7 11..17, T1..T12 21..32, L1..L5 41..45; discs 50 above the vertebra below them; L5/S 100.

    Its canal (2) is the canal without the cord.
    """
    vertebrae = [*range(45, 40, -1), *range(32, 20, -1), *range(17, 10, -1)]
    discs = [100, *(value + 50 for value in vertebrae[:-2])]  # up to C2/C3; C1/C2 has no disc
    rest = {1: Anatomy(Kind.CORD), 2: Anatomy(Kind.CANAL), 50: Anatomy(Kind.SACRUM)}
    scheme = _scheme("totalspineseg", rest, _levels(Kind.VERTEBRA, vertebrae), _levels(Kind.DISC, discs))
    return replace(scheme, extra=(ExtraVertebra({46: Anatomy(Kind.VERTEBRA, 1), 96: Anatomy(Kind.DISC, 2)}),))


def _totalsegmentator() -> LabelScheme:
    """Build task total: its S1 (26) belongs to the sacrum (25); every other organ is a plain structure."""
    rest = {25: Anatomy(Kind.SACRUM), 26: Anatomy(Kind.SACRUM), 79: Anatomy(Kind.CORD)}
    return _scheme(
        "totalsegmentator",
        _plain(range(1, 118)),
        rest,
        _levels(Kind.VERTEBRA, range(27, 27 + VERTEBRAE_TO_C1)),
    )


def _totalsegmentator_total_mr() -> LabelScheme:
    """Build task total_mr: all vertebrae are one label, and all discs."""
    spine = {18: Kind.SACRUM, 19: Kind.VERTEBRA, 20: Kind.DISC, 21: Kind.CORD}
    spine_labels = {value: Anatomy(kind) for value, kind in spine.items()}
    return _scheme("totalsegmentator_total_mr", _plain(range(1, 51)), spine_labels)


def _totalsegmentator_vertebrae_mr() -> LabelScheme:
    """Build task vertebrae_mr: 1 sacrum, 2..25 L5..C1."""
    vertebrae = _levels(Kind.VERTEBRA, range(2, 2 + VERTEBRAE_TO_C1))
    return _scheme("totalsegmentator_vertebrae_mr", {1: Anatomy(Kind.SACRUM)}, vertebrae)


def _spineps() -> LabelScheme:
    """Build one scheme of both its masks, whose integers do not collide.

    Vertebra mask: C1..L5 1..24, L6 25, T13 28, sacrum 26 and 29..33, coccyx 27 (plain), disc below vertebra X 100 + X,
    endplates 200 + X (plain). Sub-region mask: 26 sacrum, 41..48 posterior elements (arch, spinous, articular and
    transverse processes), 49 and 50 body, 60 cord, 61 canal, 52, 53 and 62 endplates (plain), 100 disc.
    """
    downwards = range(VERTEBRAE_TO_C1, 0, -1)  # value 24 is L5
    rest = {value: Anatomy(Kind.SACRUM) for value in (26, *range(29, 34))}
    rest |= {49: Anatomy(Kind.BODY), 50: Anatomy(Kind.BODY), 60: Anatomy(Kind.CORD)}
    rest |= {61: Anatomy(Kind.CANAL), 100: Anatomy(Kind.DISC)}
    extra = tuple(
        ExtraVertebra({value: Anatomy(Kind.VERTEBRA, level), 100 + value: Anatomy(Kind.DISC, level)})
        for value, level in ((25, 1), (28, LUMBAR + 1))  # L6, T13
    )
    scheme = _scheme(
        "spineps",
        rest,
        {value: Anatomy(Kind.POSTERIOR_ELEMENTS) for value in range(41, 49)},
        _levels(Kind.VERTEBRA, downwards),
        _levels(Kind.DISC, (100 + value for value in downwards)),
        _plain([27, 52, 53, 62, *(200 + value for value in (*downwards, 25, 28))]),
    )
    return replace(scheme, extra=extra)


_ALL = (
    _scheme(
        "spider",
        _levels(Kind.VERTEBRA, range(1, 26)),
        {100: Anatomy(Kind.CANAL)},
        _levels(Kind.PARTIAL_VERTEBRA, range(101, 126)),
        _levels(Kind.DISC, range(201, 226)),
    ),
    _scheme("semantic4", {1: Anatomy(Kind.VERTEBRA), 2: Anatomy(Kind.CANAL), 3: Anatomy(Kind.DISC)}),
    _scheme(
        "spider20",
        _levels(Kind.VERTEBRA, range(1, 10)),
        {10: Anatomy(Kind.CANAL)},
        _levels(Kind.DISC, range(11, 20)),
    ),
    _scheme("lumbar7", _levels(Kind.VERTEBRA, (5, 4, 3, 2, 1, 7, 6))),  # 6 is T11, 7 is T12
    _mrspineseg("mrspineseg", 9),
    _mrspineseg("mrspineseg18", 8),
    _scheme("bodies", _levels(Kind.BODY, range(1, 26))),
    _scheme(
        "parts",
        _levels(Kind.VERTEBRA, range(1, 26)),
        {50: Anatomy(Kind.SACRUM), 60: Anatomy(Kind.CORD), 100: Anatomy(Kind.CANAL)},
        _levels(Kind.PARTIAL_VERTEBRA, range(101, 126)),
        _levels(Kind.DISC, range(201, 226)),
        _levels(Kind.BODY, range(301, 326)),
        _levels(Kind.POSTERIOR_ELEMENTS, range(401, 426)),
    ),
    _scheme("axial4", {1: Anatomy(Kind.BODY), 2: Anatomy(Kind.FORAMEN), 3: Anatomy(Kind.LAMINA)}),
    _totalspineseg(),
    _totalsegmentator(),
    _totalsegmentator_total_mr(),
    _totalsegmentator_vertebrae_mr(),
    _spineps(),
)
SCHEMES: dict[str, LabelScheme] = {scheme.name: scheme for scheme in _ALL}
