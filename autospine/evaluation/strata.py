"""Cases in groups: by sequence, by vendor, or by any column of a data set's table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.cases import UNKNOWN, patient_and_sequence

SEQUENCE, VENDOR, LEVEL = "sequence", "vendor", "level"
VENDOR_COLUMN = "Manufacturer"
MISSING = {"", "nan", "none", "n/a", "unknown"}
MOST_NUMBERS = 6  # a column of more different numbers is cut into thirds
DIGITS = (4, 6, 9, 17)  # the fewest that tell a group from the next are shown; 17 always do


def strata(
    ids: Iterable[str],
    by: str,
    table: Mapping[str, Mapping[str, str]],
    where: str | Path = "overview.csv",
) -> dict[str, tuple[str, ...]]:
    """Assign cases to groups.

    Args:
        ids: Of the cases.
        by: "sequence" (t1, t2, t2_SPACE, as the id says), "vendor" (the first word of `Manufacturer`), or a
            column of the table. A column of more than 6 different numbers is cut into thirds by its terciles
            over these cases; equal values stay together, so the thirds may differ in size.
        table: Rows of overview.csv by case id (`read_overview`).
        where: The table that an error names.

    Returns:
        Ids by group, each id in exactly one; groups in natural order. A case without a row or a value is in
        "unknown", the last group.

    Raises:
        UserError: The table has no such column, or `by` is "level", by which every table is divided anyway.

    Example:
        >>> strata(["1_t1", "1_t2", "2_t2"], "sequence", {})
        {'t1': ('1_t1',), 't2': ('1_t2', '2_t2')}
    """
    ids = list(ids)
    if by == LEVEL:
        raise UserError(by, "is no group of cases", "read the rows: every level has its own")
    if by == SEQUENCE:
        return _grouped({id_: patient_and_sequence(id_)[1] for id_ in ids})
    column = _column(VENDOR_COLUMN if by == VENDOR else by, table, where)
    texts = {id_: _text(table.get(id_, {}).get(column, "")) for id_ in ids}
    if by == VENDOR:
        return _grouped({id_: _vendor(text) for id_, text in texts.items()})
    numbers = {id_: _number(text) for id_, text in texts.items() if text != UNKNOWN}
    known = [number for number in numbers.values() if number is not None]
    if len(known) < len(numbers):
        return _grouped(texts)
    names = _number_names(known)
    return _grouped({id_: names.get(numbers.get(id_), UNKNOWN) for id_ in ids}, list(names.values()))


def _column(name: str, table: Mapping[str, Mapping[str, str]], where: str | Path) -> str:
    columns = list(dict.fromkeys(column for row in table.values() for column in row if column))
    for column in columns:
        if column.lower() == name.lower():
            return column
    raise UserError(where, f"has no column {name}", f"choose from {', '.join([SEQUENCE, VENDOR, *columns])}")


def _text(value: str) -> str:
    return UNKNOWN if value.strip().lower() in MISSING else value.strip()


def _vendor(text: str) -> str:
    """Example: "SIEMENS" and "Siemens Healthineers" are Siemens, "GE MEDICAL SYSTEMS" is GE."""
    if text == UNKNOWN:
        return text
    word = text.split(maxsplit=1)[0]
    return word.upper() if len(word) < 4 else word.capitalize()


def _number(text: str) -> float | None:
    """A number, or that of a list of equal ones ("[0.625, 0.625]", as DICOM's PixelSpacing is written)."""
    try:
        numbers = {float(part) for part in text.strip("[]").split(",")}
    except ValueError:
        return None
    return numbers.pop() if len(numbers) == 1 and all(map(math.isfinite, numbers)) else None


def _number_names(known: Sequence[float]) -> dict[float | None, str]:
    """The group of each number, ascending: itself, or "from to" of its third."""
    import numpy as np

    values = sorted(set(known))
    if len(values) <= MOST_NUMBERS:
        thirds = [[value] for value in values]
    else:
        places = np.searchsorted(np.quantile(known, [1 / 3, 2 / 3]), values)  # (values,) 0, 1 or 2
        thirds = [[v for v, at in zip(values, places, strict=True) if at == third] for third in range(3)]
    thirds = [third for third in thirds if third]
    ends = [(low[-1], high[0]) for low, high in pairwise(thirds)]
    digits = next(most for most in DIGITS if all(f"{a:.{most}g}" != f"{b:.{most}g}" for a, b in ends))
    names = [_range(third, digits) for third in thirds]
    return {value: name for third, name in zip(thirds, names, strict=True) for value in third}


def _range(values: Sequence[float], digits: int) -> str:
    low, high = (f"{edge:.{digits}g}" for edge in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"


def _grouped(groups: Mapping[str, str], order: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Ids by group, in the order given or that of the alphabet, the unknown ones last."""
    names = list(dict.fromkeys(groups.values() if order is None else [*order, UNKNOWN]))
    if order is None:
        names.sort(key=lambda name: (name == UNKNOWN, name.lower()))
    found = {name: tuple(id_ for id_, group in groups.items() if group == name) for name in names}
    return {name: members for name, members in found.items() if members}
