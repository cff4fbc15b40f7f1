from __future__ import annotations

import math

from autospine.core.tables import Table, counted, csv_text, markdown_page, mean_text

ROWS = (("name", "kind", "dice", "cases"), ("L1", "vertebra", "0.912", "12"), ("L1/L2", "disc", "-", "3"))


def test_text_is_aligned_left_and_figures_right() -> None:
    lines = Table("", ROWS, text_columns=2).as_text().splitlines()
    assert lines == [
        "name   kind       dice  cases",
        "-----------------------------",
        "L1     vertebra  0.912     12",
        "L1/L2  disc          -      3",
    ]


def test_columns_that_do_not_fit_stand_in_a_block_below() -> None:
    first, second = Table("", ROWS).as_text(width=21).split("\n\n")
    assert first.splitlines()[0].split() == ["name", "kind"]
    assert [second.splitlines()[k].split() for k in (0, 2)] == [["name", "dice", "cases"], ["L1", "0.912", "12"]]


def test_markdown_aligns_figures_right_and_says_what_they_are_not_for() -> None:
    table = Table("Structures", ROWS[:2], "A note.", text_columns=2)
    assert table.as_markdown() == "| name | kind | dice | cases |\n|---|---|---:|---:|\n| L1 | vertebra | 0.912 | 12 |"
    page = markdown_page("Scores", [table.as_section()], ["one", "two"])
    assert page.startswith("# Scores\n\n## Structures\n\n| name") and "\n\nA note.\n\n- one\n- two\n\n" in page
    assert page.endswith("For research, not a medical device.\n")


def test_csv_has_six_digits_and_nothing_for_what_does_not_exist() -> None:
    rows = [["a, b", 0.123456789, 7, None], ["c", math.nan, 1234567, "x"]]
    assert csv_text(["name", "x", "n", "y"], rows) == 'name,x,n,y\n"a, b",0.123457,7,\nc,,1234567,x\n'


def test_a_mean_has_its_deviation_beside_it() -> None:
    assert (mean_text(0.5), mean_text(0.5, 0.125, 3), mean_text(math.nan, 1)) == ("0.50", "0.500 ± 0.125", "-")


def test_nouns_follow_their_number() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]


def test_csv_does_not_compute_what_stands_in_a_name() -> None:
    text = csv_text(["case", "x"], [["=1+1", "-0.5"], ["-1+1", "+1e3"], ["@a", -2.5], ["5_t2", "-"]])
    assert text == "case,x\n'=1+1,-0.5\n'-1+1,+1e3\n'@a,-2.5\n5_t2,-\n"
