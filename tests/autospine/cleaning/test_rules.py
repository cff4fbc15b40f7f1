from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.cleaning.clean import clean_classes
from autospine.cleaning.rules import (
    ADAPTED,
    CANAL,
    DISC,
    IGNORE_LABEL,
    PUBLISHED,
    RULES,
    UNKNOWN,
    VERTEBRA,
    align_borders,
    fill_unknown,
    match_adjacent,
    recolour,
    remove_outlines,
    replace_isolated,
)

Slice = list[list[int]]
maps = arrays(
    np.uint8,
    st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([0, VERTEBRA, CANAL, DISC]),
)
marked = arrays(
    np.uint8,
    st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([0, VERTEBRA, CANAL, DISC, IGNORE_LABEL]),
)


def around(part: Slice, row: int, column: int) -> Iterator[int]:
    """Classes of the eight neighbours, one by one."""
    for r in range(max(row - 1, 0), min(row + 2, len(part))):
        for c in range(max(column - 1, 0), min(column + 2, len(part[0]))):
            if (r, c) != (row, column) and part[r][c] != IGNORE_LABEL:
                yield part[r][c]


def winner(part: Slice, row: int, column: int) -> int:
    found = Counter(around(part, row, column))
    best = [value for value, count in found.items() if count == max(found.values())]
    own = part[row][column]
    return own if own in best or not best else min(best)


def differs(part: Slice, row: int, column: int, steps: tuple[tuple[int, int], ...]) -> bool:
    for down, right in steps:
        r, c = row + down, column + right
        inside = 0 <= r < len(part) and 0 <= c < len(part[0])
        if not inside or part[r][c] in (part[row][column], IGNORE_LABEL):
            return False
    return True


def outline(part: Slice, row: int, column: int) -> bool:
    return any(value != part[row][column] for value in around(part, row, column))


def border(part: Slice, row: int, column: int) -> bool:
    upright, level = ((-1, 0), (1, 0)), ((0, -1), (0, 1))
    return differs(part, row, column, upright) or differs(part, row, column, level)


def isolated(part: Slice, row: int, column: int) -> bool:
    found = list(around(part, row, column))
    return bool(found) and part[row][column] not in found


def one_by_one(classes: np.ndarray, wanted: Callable[[Slice, int, int], bool]) -> np.ndarray:
    """The rule as the paper writes it: for each pixel."""
    result = classes.copy()
    for index, plane in enumerate(classes.tolist()):
        for row in range(len(plane)):
            for column in range(len(plane[0])):
                if plane[row][column] != IGNORE_LABEL and wanted(plane, row, column):
                    result[index, row, column] = winner(plane, row, column)
    return result


@pytest.mark.parametrize(
    ("rule", "wanted"), [(remove_outlines, outline), (align_borders, border), (replace_isolated, isolated)]
)
def test_a_rule_is_what_a_loop_over_the_pixels_gives(rule: Callable, wanted: Callable) -> None:
    @settings(max_examples=60, deadline=None)
    @given(maps | marked)
    def compare(classes: np.ndarray) -> None:
        before = classes.copy()
        np.testing.assert_array_equal(rule(classes), one_by_one(classes, wanted))
        np.testing.assert_array_equal(classes, before)  # the argument stays

    compare()


@settings(max_examples=60, deadline=None)
@given(maps)
def test_adapted_rules_leave_a_clean_map_unchanged(classes: np.ndarray) -> None:
    clean = np.kron(classes, np.ones((1, 2, 2), np.uint8))  # nothing is narrower than two pixels
    cleaned, report = clean_classes(clean, "adapted")
    np.testing.assert_array_equal(cleaned, clean)
    assert set(report.totals.values()) == {0}


@settings(max_examples=40, deadline=None)
@given(maps | marked, st.integers(0, 12), st.integers(0, 12), st.sampled_from(sorted(RULES)))
def test_cleaning_only_around_what_there_is_gives_the_same(
    classes: np.ndarray, above: int, left: int, rules: str
) -> None:
    wide = np.pad(classes, ((0, 0), (above, 12), (left, 12)))
    whole = wide
    counts = []
    for rule in RULES[rules]:
        after = rule.apply(whole)
        counts.append(np.count_nonzero(after != whole))
        whole = after
    cleaned, report = clean_classes(wide, rules)  # type: ignore[arg-type]
    np.testing.assert_array_equal(cleaned, whole)
    assert list(report.totals.values()) == counts


@settings(max_examples=40, deadline=None)
@given(maps)
def test_slices_do_not_see_one_another(classes: np.ndarray) -> None:
    alone = np.concatenate([clean_classes(part[None], "published")[0] for part in classes])
    np.testing.assert_array_equal(clean_classes(classes, "published")[0], alone)


def plane(*rows: str) -> np.ndarray:
    return np.array([[int(value) for value in row] for row in rows], np.uint8)[None]


def test_the_outline_rule_rounds_a_corner() -> None:
    block = plane("011110", "011110", "011110")
    expected = plane("001100", "011110", "001100")
    margin = ((0, 0), (2, 2), (2, 2))
    np.testing.assert_array_equal(remove_outlines(np.pad(block, margin)), np.pad(expected, margin))


def test_the_border_rule_removes_a_line_of_one_pixel() -> None:
    line = plane("11111", "22222", "11111")
    np.testing.assert_array_equal(align_borders(line), plane("11111", "11111", "11111"))


def test_a_line_of_two_pixels_stays() -> None:
    line = plane("11111", "22222", "22222", "11111")
    np.testing.assert_array_equal(align_borders(line), line)


def test_an_isolated_hole_is_filled() -> None:
    np.testing.assert_array_equal(replace_isolated(plane("111", "101", "111")), plane("111", "111", "111"))


def test_of_a_tie_the_smallest_class_wins_unless_the_own_is_among_them() -> None:
    tie = plane("113", "123", "133")  # four vertebrae, four discs around the canal
    assert replace_isolated(tie)[0, 1, 1] == VERTEBRA
    own = plane("1133", "1122", "1122")
    assert remove_outlines(own)[0, 1, 2] == CANAL  # three of canal, three of vertebra


def test_unknown_pixels_are_filled_from_the_rim_inwards() -> None:
    classes = np.zeros((3, 9, 9), np.uint8)
    classes[0, 2:7, 2:7] = VERTEBRA
    classes[0, 3:6, 3:6] = UNKNOWN  # inside a vertebra
    classes[1, 2:7, 2:7] = UNKNOWN  # in the background
    classes[2] = UNKNOWN
    filled = fill_unknown(classes)
    expected = np.zeros_like(classes)
    expected[0, 2:7, 2:7] = VERTEBRA
    np.testing.assert_array_equal(filled, expected)


def test_unknown_pixels_among_unlabelled_ones_become_background() -> None:
    classes = np.full((1, 3, 3), IGNORE_LABEL, np.uint8)
    classes[0, 1, 1] = UNKNOWN
    filled = fill_unknown(classes)
    assert filled[0, 1, 1] == 0
    assert (filled == IGNORE_LABEL).sum() == 8


def test_only_slices_without_a_vertebra_are_recoloured() -> None:
    classes = np.stack([plane("0230")[0], plane("0231")[0], plane("0000")[0]])
    np.testing.assert_array_equal(recolour(classes), np.stack([plane("0110")[0], plane("0231")[0], plane("0000")[0]]))


@given(maps)
def test_the_first_matching_neighbour_changes_nothing(classes: np.ndarray) -> None:
    np.testing.assert_array_equal(match_adjacent(classes), classes)


def test_the_rules_stand_in_the_papers_order() -> None:
    names = [rule.name for rule in PUBLISHED]
    assert names == ["unknown", "first_matching", "outline", "border", "isolated", "recoloured"]
    assert [rule.name for rule in ADAPTED] == ["unknown", "isolated"]
