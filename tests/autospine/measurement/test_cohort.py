"""What stands out in a cohort, one patient's scans in pairs, gradings beside the figures, the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.measurement.cohort import (
    find_outliers,
    grading_tables,
    groups,
    literature_table,
    pairs_table,
    scan_date,
)
from autospine.measurement.page import as_page
from autospine.measurement.tables import Row


def level(id_: str, patient: str, **values: float) -> Row:
    keys = {"id": id_, "patient": patient, "level": "2", "ordinal": "2", "name": "L4", "disc": "L4/L5"}
    return Row(keys, values, dict.fromkeys(values, 0.3), {})


ROWS = [level(f"{n}_t2", str(n), disc_dabbs_mm=9.0 + 0.1 * n, slip_mm=0.2 * n) for n in range(1, 9)]


def test_a_figure_far_from_its_level_stands_out() -> None:
    odd = level("9_t2", "9", disc_dabbs_mm=3.0)
    (found,) = find_outliers([*ROWS, odd])
    assert (found.id, found.level, found.figure, found.value) == ("9_t2", "L4", "disc_dabbs_mm", 3.0)


def test_few_rows_tell_nothing() -> None:
    assert find_outliers([*ROWS[:3], level("9_t2", "9", disc_dabbs_mm=3.0)]) == []


def test_scans_of_one_patient_are_compared() -> None:
    table = pairs_table([*ROWS, level("1_later", "1", disc_dabbs_mm=8.1)], {})
    assert table is not None
    assert table.rows[1][:3] == ("1_t2, 1_later", "-", "L4")
    assert table.rows[1][table.rows[0].index("disc_dabbs_mm")] == "-1.00 (0.42)"
    assert pairs_table(ROWS, {}) is None


def test_scans_of_one_patient_follow_their_dates() -> None:
    overview = {"1_t2": {"StudyDate": "20240301"}, "1_a": {"StudyDate": "2023-03-02"}}
    table = pairs_table([*ROWS, level("1_a", "1", disc_dabbs_mm=8.1)], overview)
    assert table is not None
    assert table.rows[1][:3] == ("1_a, 1_t2", "365", "L4")
    assert table.rows[1][table.rows[0].index("disc_dabbs_mm")].startswith("+1.00")


@pytest.mark.parametrize("text", ["", "unknown", "1.13.2024"])
def test_a_date_that_cannot_be_read_is_none(text: str) -> None:
    assert scan_date({"date": text}) is None


def test_published_means_stand_beside_the_cohorts() -> None:
    rows = [level("1_t2", "1", disc_anterior_height_mm=9.0), level("2_t2", "2", disc_anterior_height_mm=11.0)]
    table = literature_table(rows, [Row({"id": "1_t2"}, {"lordosis_deg": 40.0}, {}, {})])
    own = {row[:2]: row[2:4] for row in table.rows[1:]}
    assert own["disc_anterior_height_mm", "L4"] == ("10.94", "10.0 ± 1.0 (2)")
    assert own["lordosis_deg", "L1 to S1"] == ("36.8 ± 13.2", "40.0 ± 0.0 (1)")
    assert own["anterior_height_mm", "L5"] == ("30.3 ± 1.9", "-")


def test_gradings_are_joined_by_patient_and_disc(tmp_path: Path) -> None:
    path = tmp_path / "radiological_gradings.csv"
    lines = [f"{n},2,0,0,0,0,0,{n % 2},0,3" for n in range(1, 9)]
    header = "Patient,IVD label,Modic,UP endplate,LOW endplate,Spondylolisthesis,Disc herniation,"
    path.write_text(header + "Disc narrowing,Disc bulging,Pfirrman grade\n" + "\n".join(lines) + "\n")
    narrowing = grading_tables(ROWS, path)[0]
    assert narrowing.title == "Disc narrowing against the figures"
    assert [row[0] for row in narrowing.rows] == ["Disc narrowing", "0", "1"]
    assert narrowing.rows[1][1].startswith("9.50")
    assert narrowing.rows[1][1].endswith("(4)")


def test_groups_follow_a_column() -> None:
    table = {f"{n}_t2": {"sex": "F" if n % 2 else "M"} for n in range(1, 8)}
    assert {name: len(rows) for name, rows in groups(ROWS, table, "sex").items()} == {"F": 4, "M": 3, "unknown": 1}


@pytest.mark.parametrize("by", [(), ("sex",)])
def test_the_page_holds_plots_and_tables(by: tuple[str, ...]) -> None:
    pairs = pairs_table([*ROWS, level("1_later", "1", disc_dabbs_mm=8.1)], {})
    assert pairs is not None
    page = as_page(ROWS, {"1_t2": {"sex": "<F>"}}, by, [pairs], None)
    assert page.count("<svg") == 2
    assert "One patient's scans" in page.replace("&#39;", "'")
    assert "<F>" not in page
