"""The figures of a cohort as CSV, one row per level, and of a case as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autospine.core.tables import DISCLAIMER, csv_text
from autospine.core.version import __version__
from autospine.measurement.case import CaseMeasures
from autospine.measurement.figures import DISC, SPINE, VERTEBRA, Definition, Figure
from autospine.measurement.literature import published

LEVEL_KEYS = ("id", "patient", "level", "ordinal", "name", "disc")
CASE_KEYS = ("id", "patient", "lordosis_between")
LEVEL_FIGURES: tuple[Definition, ...] = (*VERTEBRA, *DISC)
GRADES = ("genant_suggestion", "meyerding_suggestion")


@dataclass(frozen=True)
class Row:
    """One row of a table: what it is about, the values and deviations by name, and why values are missing."""

    keys: Mapping[str, str]
    values: Mapping[str, float]
    deviations: Mapping[str, float]
    missing: Mapping[str, str]


def level_rows(content: Mapping[str, Any], patient: str) -> list[Row]:
    """Return the levels of what `case_json` gave, from the highest down."""
    rows = []
    for level in content["levels"]:
        number = "" if level["level"] is None else str(level["level"])
        keys = (content["id"], patient, number, str(level["ordinal"]), level["name"], level["disc"])
        rows.append(_row(dict(zip(LEVEL_KEYS, keys, strict=True)), level["figures"]))
    return rows


def case_row(content: Mapping[str, Any], patient: str) -> Row:
    """Return the figures of the whole column of what `case_json` gave."""
    keys = (content["id"], patient, content["lordosis_between"])
    return _row(dict(zip(CASE_KEYS, keys, strict=True)), content["column"])


def _row(keys: Mapping[str, str], figures: Mapping[str, Mapping[str, Any]]) -> Row:
    return Row(
        keys,
        {name: figure["value"] for name, figure in figures.items() if figure["value"] is not None},
        {name: figure["sd"] for name, figure in figures.items() if "sd" in figure},
        {name: figure["reason"] for name, figure in figures.items() if figure["value"] is None},
    )


def rows_csv(rows: Iterable[Row], keys: Sequence[str], definitions: Sequence[Definition]) -> str:
    """Return rows as CSV: keys, values, their standard deviations (`NAME_sd`), and why values are missing."""
    names = [definition.name for definition in definitions]
    with_deviation = [name for name in names if name not in GRADES]
    header = [*keys, *names, *(f"{name}_sd" for name in with_deviation), "missing"]
    lines = []
    for row in rows:
        values = [row.values.get(name) for name in names]
        deviations = [row.deviations.get(name) for name in with_deviation]
        lines.append([*(row.keys[key] for key in keys), *values, *deviations, _reasons(row.missing)])
    return csv_text(header, lines)


def _reasons(missing: Mapping[str, str]) -> str:
    """Return why values are missing: each reason once, with the figures that it concerns."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing.items():
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{reason} ({', '.join(names)})" for reason, names in by_reason.items())


def case_json(case: CaseMeasures, scheme: str, key: str) -> dict[str, Any]:
    """Return a case's figures as JSON values, with units and reasons.

    Args:
        case: The figures.
        scheme: Name of the mask's labels.
        key: Of what they were measured from.
    """
    levels = [
        {
            "level": level.level,
            "ordinal": level.ordinal,
            "name": level.name,
            "disc": level.disc_name,
            "figures": _figures(level.figures, LEVEL_FIGURES, level.name),
        }
        for level in reversed(case.levels)
    ]
    return {
        "autospine": __version__,
        "id": case.id,
        "scheme": scheme,
        "measured_from": key,
        "spacing_mm": list(case.spacing),
        "levels": levels,
        "column": _figures(case.figures, SPINE, ""),
        "lordosis_between": case.lordosis_between,
        "notes": list(case.notes),
        "note": DISCLAIMER,
    }


def _figures(figures: Mapping[str, Figure], definitions: Sequence[Definition], name: str) -> dict[str, Any]:
    return {d.name: _figure(figures[d.name], d, name) for d in definitions}


def _figure(figure: Figure, definition: Definition, name: str) -> dict[str, Any]:
    if figure.value is None:
        return {"value": None, "reason": figure.reason}
    values: dict[str, Any] = {"value": _six_digits(figure.value), "unit": definition.unit}
    if figure.deviation is not None:
        values["sd"] = _six_digits(figure.deviation)
    expected = published(definition.name, name)
    return values if expected is None else {**values, "published": f"{expected.text} ({expected.source})"}


def _six_digits(value: float) -> float:
    """Return a value as the tables show it, so that those of stored cases are the same byte for byte."""
    return float(f"{value:.6g}")
