from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.planning.recipe import ScheduleSettings
from autospine.training.optimisation import Schedule


def test_warm_up_is_linear_and_reaches_the_highest() -> None:
    schedule = Schedule(ScheduleSettings("constant", warmup=0.1), 100)
    factors = [schedule.factor(step) for step in range(12)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10:] == [1, 1]


def test_cosine_and_poly_against_their_formulas() -> None:
    cosine = Schedule(ScheduleSettings("cosine", warmup=0.0), 50)
    poly = Schedule(ScheduleSettings("poly", warmup=0.0, power=0.9), 50)
    for step in (0, 10, 25, 49):
        assert cosine.factor(step) == pytest.approx((1 + math.cos(math.pi * step / 50)) / 2)
        assert poly.factor(step) == pytest.approx((1 - step / 50) ** 0.9)


@given(st.sampled_from(["cosine", "poly", "constant", "plateau"]), st.floats(0, 1), st.integers(1, 300))
def test_every_factor_is_above_zero_and_at_most_one(kind: str, warmup: float, steps: int) -> None:
    schedule = Schedule(ScheduleSettings(kind, warmup=warmup), steps)
    assert all(0 < schedule.factor(step) <= 1 for step in range(steps))


def test_plateau_waits_for_its_patience_then_lowers() -> None:
    schedule = Schedule(ScheduleSettings("plateau", warmup=0.0, patience=2, factor=0.1), 100)
    factors = []
    for score in (0.5, 0.4, 0.5, 0.3, 0.2, 0.6, 0.1, 0.1, 0.1):
        schedule.observe(score)
        factors.append(schedule.factor(50))
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01])


def test_a_restored_schedule_goes_on_as_the_first_would() -> None:
    first = Schedule(ScheduleSettings("plateau", patience=1), 100)
    for score in (0.5, 0.4, 0.3, 0.2):
        first.observe(score)
    second = Schedule(ScheduleSettings("plateau", patience=1), 100)
    second.restore(first.state())
    for schedule in (first, second):
        schedule.observe(0.1)
    assert first.state() == second.state()
    assert first.factor(60) == second.factor(60) < 1


def test_only_plateau_listens_to_scores() -> None:
    schedule = Schedule(ScheduleSettings("constant", patience=0), 100)
    for _ in range(5):
        schedule.observe(0.0)
    assert schedule.factor(50) == 1
