"""The scheme that names of structures tell, as TotalSegmentator writes them into NIfTI files or gives them to files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from autospine.labels.anatomy import CERVICAL, LUMBAR, THORACIC, Anatomy, Kind
from autospine.labels.schemes import SCHEMES, ExtraVertebra, LabelScheme

REGIONS = (("L", LUMBAR), ("T", THORACIC), ("C", CERVICAL))
VERTEBRA = re.compile(r"vertebrae_(?P<region>[CTL])(?P<number>\d+)")
BELOW = {"L": LUMBAR, "T": LUMBAR + THORACIC, "C": LUMBAR + THORACIC + CERVICAL}  # level of the region's first vertebra
NAMES = {
    "sacrum": Anatomy(Kind.SACRUM),
    "vertebrae_S1": Anatomy(Kind.SACRUM),
    "vertebrae": Anatomy(Kind.VERTEBRA),
    "vertebrae_body": Anatomy(Kind.BODY),
    "intervertebral_discs": Anatomy(Kind.DISC),
    "spinal_cord": Anatomy(Kind.CORD),
    "spinal_canal": Anatomy(Kind.CANAL),
}
L6 = "vertebrae_L6"
LEVELS = tuple(  # from the lowest up; TotalSegmentator names no thirteenth thoracic vertebra
    f"vertebrae_{region}{number}" for region, count in REGIONS for number in range(count, 0, -1)
)
SPINE_CLASSES = tuple(dict.fromkeys((*NAMES, L6, *LEVELS)))


def scheme_of_table(names: Mapping[int, str]) -> LabelScheme | None:
    """Return the scheme of a label table; None where it names nothing of the spine.

    Args:
        names: TotalSegmentator's name of each integer.

    Returns:
        A built-in scheme where the table is that one's, else one of its own, "label table".
    """
    anatomies, extra = {}, []
    for value, name in sorted(names.items()):
        if name == L6:
            extra.append(ExtraVertebra({value: Anatomy(Kind.VERTEBRA, 1)}))
        elif value:
            anatomies[value] = _anatomy(value, name)
    if not any(anatomy.kind is not Kind.STRUCTURE for anatomy in anatomies.values()):
        return None
    own = LabelScheme("label table", anatomies, extra=tuple(extra))
    same = (scheme for scheme in SCHEMES.values() if (scheme.anatomies, scheme.extra) == (own.anatomies, own.extra))
    return next(same, own)


def _anatomy(value: int, name: str) -> Anatomy:
    match = VERTEBRA.fullmatch(name)
    if match is None:
        return NAMES.get(name, Anatomy(Kind.STRUCTURE, value))
    level = BELOW[match["region"]] - int(match["number"]) + 1
    return Anatomy(Kind.VERTEBRA, level) if level > 0 else Anatomy(Kind.STRUCTURE, value)


CLASS_FILES = replace(  # of masks with one file per class: the class's number in SPINE_CLASSES, from 1
    cast(LabelScheme, scheme_of_table(dict(enumerate(SPINE_CLASSES, start=1)))), name="class files"
)
