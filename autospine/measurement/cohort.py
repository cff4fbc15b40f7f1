"""A cohort's figures: outliers, one patient's scans in pairs, and SPIDER's gradings beside the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from autospine.core.tables import NONE, Table
from autospine.dataset.metadata import read_table
from autospine.measurement.literature import PUBLISHED
from autospine.measurement.tables import Row

OUTLIER, LEAST_ROWS = 3.5, 6  # robust deviations from the median; rows of a level from which a median is taken
NORMAL = 1.4826  # the median absolute deviation of a normal distribution, times this, is its standard deviation
WATCHED = (
    "anterior_height_mm", "middle_height_mm", "posterior_height_mm", "wedge_ratio", "disc_dabbs_mm",
    "disc_farfan_index", "slip_mm", "disc_angle_deg", "canal_diameter_mm", "disc_canal_diameter_mm",
)  # fmt: skip
DATE_COLUMNS = ("date", "scandate", "studydate", "seriesdate", "acquisitiondate")  # of overview.csv, in letters
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y")
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


def pairs_table(rows: Sequence[Row], overview: Mapping[str, Mapping[str, str]]) -> Table | None:
    """Return how figures changed between one patient's scans; None without such scans.

    Args:
        rows: The cohort's levels.
        overview: Rows of overview.csv by case id; a column of dates orders the scans, else their ids do.
    """
    dates = {id_: scan_date(row) for id_, row in overview.items()}
    lines = []
    patients = dict.fromkeys(row.keys["patient"] for row in rows)
    for patient in patients:
        scans = list(dict.fromkeys(row.keys["id"] for row in rows if row.keys["patient"] == patient))
        known_dates = {id_: when for id_ in scans if (when := dates.get(id_)) is not None}
        if len(known_dates) == len(scans):
            scans.sort(key=lambda id_: known_dates[id_])
        for first, second in pairwise(scans):
            both = first in known_dates and second in known_dates
            days = str((known_dates[second] - known_dates[first]).days) if both else NONE
            lines += [(f"{first}, {second}", days, *change) for change in _changes(rows, first, second)]
    if not lines:
        return None
    header = ("scans", "days", "level", *FOLLOWED)
    note = "Second less first; in brackets the standard deviation of the difference by voxels and fit alone."
    return Table("One patient's scans", (header, *lines), note, 3)


def scan_date(row: Mapping[str, str]) -> date | None:
    """Return the date of a scan from its row of overview.csv; None without one that can be read."""
    texts = [text for name, text in row.items() if name.lower().replace("_", "").replace(" ", "") in DATE_COLUMNS]
    for text in texts:
        for form in DATE_FORMATS:
            try:
                return datetime.strptime(text.strip(), form).date()
            except ValueError:
                continue
    return None


def _changes(rows: Sequence[Row], first: str, second: str) -> list[tuple[str, ...]]:
    before, after = ({r.keys["name"]: r for r in rows if r.keys["id"] == id_} for id_ in (first, second))
    lines = []
    for level in (level for level in before if level in after):
        cells = [_change(before[level], after[level], name) for name in FOLLOWED]
        lines.append((level, *cells))
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


def literature_table(levels: Sequence[Row], columns: Sequence[Row]) -> Table:
    """Return the published means beside the cohort's own.

    Args:
        levels: The cohort's levels.
        columns: The figures of its whole columns.
    """
    lines = []
    for entry in PUBLISHED:
        rows = [row for row in levels if row.keys["name"] == entry.name] if entry.name else columns
        values = [row.values[entry.figure] for row in rows if entry.figure in row.values]
        own = f"{np.mean(values):.1f} ± {np.std(values):.1f} ({len(values)})" if values else NONE
        lines.append((entry.figure, entry.name or "L1 to S1", entry.text, own, entry.source))
    header = ("figure", "level", "published", "this cohort", "source")
    note = (
        "Means ± standard deviations, in brackets the number of levels. Other people, machines and landmarks: for "
        "orientation only, a figure off these means is no finding."
    )
    return Table("Published means beside the figures", (header, *lines), note, 2)


def groups(rows: Sequence[Row], table: Mapping[str, Mapping[str, str]], column: str | None) -> dict[str, list[Row]]:
    """Return the rows by the value of a column of overview.csv; all as one group without a column."""
    by_value: dict[str, list[Row]] = {}
    for row in rows:
        value = "all" if column is None else table.get(row.keys["id"], {}).get(column, "") or "unknown"
        by_value.setdefault(value, []).append(row)
    return dict(sorted(by_value.items()))
