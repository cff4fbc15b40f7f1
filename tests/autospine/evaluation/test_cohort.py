from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.dataset.metadata import read_overview
from autospine.evaluation.cohort import strata
from tests.paths import SHARED

OVERVIEW = SHARED / "data" / "spider" / "overview.csv"
TABLE = {
    "1_t1": {"Manufacturer": "SIEMENS", "MagneticFieldStrength": "3.0", "sex": "F"},
    "1_t2": {"Manufacturer": "Siemens Healthineers", "MagneticFieldStrength": "1.5", "sex": ""},
    "2_t2_SPACE": {"Manufacturer": "GE MEDICAL SYSTEMS", "MagneticFieldStrength": "3", "sex": "M"},
    "3_t2": {"Manufacturer": "", "MagneticFieldStrength": "nan", "sex": "M"},
}
IDS = [*TABLE, "new"]


def test_sequences_come_from_the_id() -> None:
    assert strata(IDS, "sequence", {}) == {
        "t1": ("1_t1",),
        "t2": ("1_t2", "3_t2"),
        "t2_SPACE": ("2_t2_SPACE",),
        "unknown": ("new",),
    }


def test_vendors_are_the_makers_names() -> None:
    assert strata(IDS, "vendor", TABLE) == {
        "GE": ("2_t2_SPACE",),
        "Siemens": ("1_t1", "1_t2"),
        "unknown": ("3_t2", "new"),
    }
    assert "SIEMENS" in strata(IDS, "Manufacturer", TABLE)


def test_missing_values_are_unknown_and_never_dropped() -> None:
    assert strata(IDS, "SEX", TABLE) == {
        "F": ("1_t1",),
        "M": ("2_t2_SPACE", "3_t2"),
        "unknown": ("1_t2", "new"),
    }
    assert list(strata(["3_t2", "new"], "MagneticFieldStrength", TABLE)) == ["unknown"]


def test_few_numbers_are_groups_of_their_own() -> None:
    assert strata(IDS, "MagneticFieldStrength", TABLE) == {
        "1.5": ("1_t2",),
        "3": ("1_t1", "2_t2_SPACE"),
        "unknown": ("3_t2", "new"),
    }
    counts = {"a": {"n": "10"}, "b": {"n": "9"}}
    assert list(strata(counts, "n", counts)) == ["9", "10"]


def test_many_numbers_are_cut_into_thirds() -> None:
    table = {str(k): {"EchoTime": str(k * 10), "PixelSpacing": f"[{k}.25, {k}.25]"} for k in range(1, 10)}
    expected = {"10 to 30": ("1", "2", "3"), "40 to 60": ("4", "5", "6"), "70 to 90": ("7", "8", "9")}
    assert strata(table, "EchoTime", table) == expected
    assert list(strata(table, "PixelSpacing", table)) == ["1.25 to 3.25", "4.25 to 6.25", "7.25 to 9.25"]
    near = {str(k): {"x": f"1.000{k}"} for k in range(1, 10)}
    assert list(strata(near, "x", near)) == ["1.0001 to 1.0003", "1.0004 to 1.0006", "1.0007 to 1.0009"]


def test_one_word_among_numbers_makes_them_words() -> None:
    table = {str(k): {"x": str(k)} for k in range(8)} | {"last": {"x": "[1, 2]"}}
    assert len(strata(table, "x", table)) == 9


@given(st.lists(st.one_of(st.just(""), st.floats(-1e6, 1e6).map(str), st.integers(0, 4).map(str))))
def test_every_case_is_in_exactly_one_group(values: list[str]) -> None:
    table = {str(k): {"x": value} for k, value in enumerate(values)} or {"none": {"x": ""}}
    groups = strata(table, "x", table)
    assert sorted(id_ for members in groups.values() for id_ in members) == sorted(table)
    assert all(groups.values()) and "unknown" not in list(groups)[:-1]
    known = [[float(table[id_]["x"]) for id_ in each] for name, each in groups.items() if name != "unknown"]
    assert all(max(one) < min(other) for one, other in pairwise(known))


def test_unknown_columns_are_named_with_the_known_ones() -> None:
    problem = "my.csv: has no column colour; choose from sequence, vendor, Manufacturer, MagneticFieldStrength, sex"
    with pytest.raises(UserError, match=problem):
        strata(IDS, "colour", TABLE, "my.csv")
    with pytest.raises(UserError, match=r"overview\.csv: has no column Manufacturer; choose from sequence"):
        strata(IDS, "vendor", {})
    with pytest.raises(UserError, match="level: is no group of cases"):
        strata(IDS, "level", TABLE)


def test_spider_s_own_table() -> None:
    if not OVERVIEW.is_file():
        pytest.skip(f"no table at {OVERVIEW}")
    table = read_overview(OVERVIEW)
    sizes = {name: len(members) for name, members in strata(table, "sequence", table).items()}
    assert sizes == {"t1": 196, "t2": 210, "t2_SPACE": 41}
    for column in ["vendor", *next(iter(table.values()))]:
        assert sum(map(len, strata(table, column, table).values())) == 447
    assert [len(members) for members in strata(table, "SAR", table).values()] == [149, 149, 149]
    assert list(strata(table, "sex", table)) == ["F", "M"]
