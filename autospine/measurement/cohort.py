"""A cohort's figures: outliers, one patient's scans in pairs, and SPIDER's gradings beside the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from autospine.core.tables import NONE, Table
from autospine.dataset.metadata import read_table
from autospine.measurement.tables import Row

OUTLIER, LEAST_ROWS = 3.5, 6  # robust deviations from the median; rows of a level from which a median is taken
NORMAL = 1.4826  # the median absolute deviation of a normal distribution, times this, is its standard deviation
WATCHED = (
    "anterior_height_mm", "middle_height_mm", "posterior_height_mm", "wedge_ratio", "disc_dabbs_mm",
    "disc_farfan_index", "slip_mm", "disc_angle_deg", "canal_diameter_mm", "disc_canal_diameter_mm",
)  # fmt: skip
FOLLOWED = ("middle_height_mm", "wedge_ratio", "disc_dabbs_mm", "slip_mm", "disc_angle_deg", "disc_canal_diameter_mm")
GRADED = {  # columns of radiological_gradings.csv, and the figures that they speak of
    "Disc narrowing": ("disc_dabbs_mm", "disc_farfan_index"),
    "Spondylolisthesis": ("slip_mm", "slip_percent"),
    "Pfirrman grade": ("disc_dabbs_mm", "disc_farfan_index", "disc_signal_csf"),
}


@dataclass(frozen=True)
class Outlier:
    """A figure far from its level's median in this cohort."""

    id: str
    level: str
    figure: str
    value: float
    median: float
    deviations: float  # of the value from the median, robust


def find_outliers(rows: Sequence[Row]) -> list[Outlier]:
    """Return the outlying figures, the furthest first."""
    outliers = []
    for name in WATCHED:
        for level in dict.fromkeys(row.keys["name"] for row in rows):
            rows_of_level = [row for row in rows if row.keys["name"] == level and name in row.values]
            if len(rows_of_level) < LEAST_ROWS:
                continue
            values = np.array([row.values[name] for row in rows_of_level])
            median = float(np.median(values))
            spread = NORMAL * float(np.median(np.abs(values - median)))
            for row, value in zip(rows_of_level, values, strict=True):
                deviations = abs(value - median) / max(spread, 1e-9)
                if deviations > OUTLIER:
                    outliers.append(Outlier(row.keys["id"], level, name, float(value), median, deviations))
    return sorted(outliers, key=lambda outlier: -outlier.deviations)


def pairs_table(rows: Sequence[Row]) -> Table | None:
    """Return how figures changed between one patient's scans, in the order of their ids; None without such scans."""
    lines = []
    patients = dict.fromkeys(row.keys["patient"] for row in rows)
    for patient in patients:
        scans = list(dict.fromkeys(row.keys["id"] for row in rows if row.keys["patient"] == patient))
        for first, second in pairwise(scans):
            lines += _changes(rows, first, second)
    if not lines:
        return None
    header = ("scans", "level", *FOLLOWED)
    note = "Second less first; in brackets the standard deviation of the difference by voxels and fit alone."
    return Table("One patient's scans", (header, *lines), note, 2)


def _changes(rows: Sequence[Row], first: str, second: str) -> list[tuple[str, ...]]:
    before, after = ({r.keys["name"]: r for r in rows if r.keys["id"] == id_} for id_ in (first, second))
    lines = []
    for level in (level for level in before if level in after):
        cells = [_change(before[level], after[level], name) for name in FOLLOWED]
        lines.append((f"{first}, {second}", level, *cells))
    return lines


def _change(before: Row, after: Row, name: str) -> str:
    if name not in before.values or name not in after.values:
        return NONE
    change = f"{after.values[name] - before.values[name]:+.2f}"
    if name in before.deviations and name in after.deviations:
        return f"{change} ({np.hypot(before.deviations[name], after.deviations[name]):.2f})"
    return change


def grading_tables(rows: Sequence[Row], path: Path) -> list[Table]:
    """Return the median of figures by radiological grade, from SPIDER's radiological_gradings.csv.

    Args:
        rows: Levels of the cohort; a patient's discs are found by the number that the patient's name holds.
        path: The table.

    Raises:
        UserError: The table cannot be read.
    """
    grades = {(row.get("Patient", ""), row.get("IVD label", "")): row for row in read_table(path)}
    tables = []
    for column, figures in GRADED.items():
        by_grade: dict[str, list[Row]] = {}
        for row in rows:
            grade = grades.get((row.keys["patient"], row.keys["level"]), {}).get(column, "")
            if grade:
                by_grade.setdefault(grade, []).append(row)
        if by_grade:
            lines = [(grade, *_medians(by_grade[grade], figures)) for grade in sorted(by_grade)]
            note = "Medians with quartiles; the number of discs in brackets."
            tables.append(Table(f"{column} against the figures", ((column, *figures), *lines), note))
    return tables


def _medians(rows: Sequence[Row], figures: Sequence[str]) -> list[str]:
    cells = []
    for name in figures:
        values = [row.values[name] for row in rows if name in row.values]
        if values:
            low, middle, high = np.percentile(values, (25, 50, 75))
            cells.append(f"{middle:.2f}, {low:.2f} to {high:.2f} ({len(values)})")
        else:
            cells.append(NONE)
    return cells


def groups(rows: Sequence[Row], table: Mapping[str, Mapping[str, str]], column: str | None) -> dict[str, list[Row]]:
    """Return the rows by the value of a column of overview.csv; all as one group without a column."""
    by_value: dict[str, list[Row]] = {}
    for row in rows:
        value = "all" if column is None else table.get(row.keys["id"], {}).get(column, "") or "unknown"
        by_value.setdefault(value, []).append(row)
    return dict(sorted(by_value.items()))
