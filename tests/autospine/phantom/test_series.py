"""Which case is which patient and series."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from autospine.phantom.series import find_series, subset


@given(st.integers(0, 10**6))
def test_names_are_unique_and_patients_consecutive(seed: int) -> None:
    series = [find_series(seed, i) for i in range(20)]
    assert len({s.id for s in series}) == 20
    patients = [s.patient for s in series]
    assert patients == sorted(patients) and set(patients) == set(range(1, patients[-1] + 1))


@given(st.integers(0, 10**6))
def test_a_dozen_cases_hold_both_orientations_and_a_pair(seed: int) -> None:
    series = [find_series(seed, i) for i in range(16)]
    assert {s.orientation for s in series} == {"LPS", "PIR"}
    by_patient = defaultdict(set)
    for s in series:
        by_patient[s.patient].add(s.sequence)
        assert s.orientation == ("LPS" if s.stretched else "PIR")
    assert any(kinds == {"t1", "t2"} for kinds in by_patient.values())


def test_shares_are_near_spiders() -> None:
    series = [find_series(4, i) for i in range(600)]
    orientations = Counter(s.orientation for s in series)
    assert abs(orientations["PIR"] / 600 - 73 / 447) < 0.03
    kinds = Counter(s.sequence for s in series)
    assert kinds["t2"] > kinds["t1"] > kinds["t2_SPACE"] > 50


def test_validation_patients_from_six_cases_on() -> None:
    for seed in range(30):
        patients = [find_series(seed, i).patient for i in range(6)]
        assert {subset(p, 6) for p in patients} == {"training", "validation"}
        assert {subset(p, 5) for p in patients} == {"training"}
