from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autospine.evaluation.matching import common_shift, identified
from autospine.labels.anatomy import Anatomy, Kind

LEVELS = st.lists(st.integers(1, 9), unique=True, max_size=5)


def vertebrae(levels: list[int]) -> list[Anatomy]:
    return [Anatomy(Kind.VERTEBRA, level) for level in levels]


@given(LEVELS, LEVELS, st.integers(0, 1000))
def test_the_nearest_has_the_level_and_is_within_reach(predicted: list[int], annotated: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    ours, theirs = draw.uniform(0, 60, (len(predicted), 3)), draw.uniform(0, 60, (len(annotated), 3))
    answers = identified(vertebrae(predicted), ours, vertebrae(annotated), theirs)
    for level, place, answer in zip(annotated, theirs, answers, strict=True):
        expected = False
        if level in predicted:
            apart = [float(sum((a - b) ** 2 for a, b in zip(place, one, strict=True)) ** 0.5) for one in ours]
            own = apart[predicted.index(level)]
            expected = own == min(apart) and own <= 20
        assert answer is expected


def test_what_has_no_level_is_not_identified() -> None:
    place = np.zeros((1, 3))
    assert identified([Anatomy(Kind.VERTEBRA)], place, [Anatomy(Kind.VERTEBRA)], place) == [False]


@given(st.lists(st.integers(1, 20), min_size=1), st.integers(-3, 3))
def test_a_shift_that_all_share(levels: list[int], offset: int) -> None:
    assert common_shift([(level + offset, level) for level in levels]) == offset
    assert common_shift([(level + offset, level) for level in levels] + [(9 + offset, 8)]) is None


def test_nothing_detected_has_no_shift() -> None:
    assert common_shift([]) is None
