from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from autospine.core.errors import UserError
from autospine.evaluation.statistics import bootstrap, correct, holm, paired_tests

NAN = float("nan")
P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), max_size=8)


def per_patient(values: np.ndarray) -> dict[str, list[float]]:
    return {str(k): [float(value)] for k, value in enumerate(values)}


def draw(seed: int, patients: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.9 + shift, 0.05, patients)


def test_interval_is_that_of_scipy() -> None:
    values = draw(0, 40)
    found = bootstrap(per_patient(values))
    oracle = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=1)
    assert found.mean == pytest.approx(values.mean()) and found.patients == 40
    width = found.high - found.low
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.03 * width)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.03 * width)


def test_patients_are_drawn_with_all_their_series() -> None:
    """Three patients: the percentiles of all 27 ways to draw them, equally likely."""
    values = {"a": [1.0, 2.0, 3.0], "b": [10.0], "c": [5.0, 7.0]}
    drawn = []
    for chosen in product(values.values(), repeat=3):
        together = [value for each in chosen for value in each]
        drawn.append(sum(together) / len(together))
    found = bootstrap(values, level=0.6)
    assert found.mean == pytest.approx(28 / 6)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.2, 0.8])), rel=1e-9)


def test_more_series_of_the_same_patients_add_nothing() -> None:
    values = draw(1, 12)
    once = bootstrap(per_patient(values))
    thrice = bootstrap({key: each * 3 for key, each in per_patient(values).items()})
    assert (thrice.mean, thrice.low, thrice.high) == pytest.approx((once.mean, once.low, once.high))


def test_absent_values_enter_no_mean() -> None:
    found = bootstrap({"a": [0.5, NAN], "b": [NAN], "c": [0.7], "d": []})
    assert (found.mean, found.patients) == (pytest.approx(0.6), 2)
    assert (found.low, found.high) == (0.5, 0.7)


@pytest.mark.parametrize("values", [{}, {"a": [NAN]}, {"a": [0.5, 0.7]}, {"a": [0.6], "b": [NAN]}])
def test_too_few_patients_have_no_interval(values: dict[str, list[float]]) -> None:
    found = bootstrap(values)
    assert math.isnan(found.low) and math.isnan(found.high) and found.patients <= 1
    assert math.isnan(found.mean) if not found.patients else found.mean == pytest.approx(0.6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.randoms())
@settings(max_examples=25, deadline=None)
def test_interval_does_not_depend_on_the_order_of_patients(values: list[float], random: object) -> None:
    given_ = {f"p{k}": [value] for k, value in enumerate(values)}
    keys = list(given_)
    random.shuffle(keys)  # type: ignore[attr-defined]
    found = bootstrap(given_, 500)
    assert found == bootstrap({key: given_[key] for key in keys}, 500)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert bootstrap(given_, 500, level=0.5).high <= found.high


def test_the_seed_decides() -> None:
    values = per_patient(draw(3, 20))
    assert bootstrap(values, 200, seed=1) == bootstrap(values, 200, seed=1) != bootstrap(values, 200, seed=2)


@pytest.mark.parametrize("patients", [6, 15, 80])
def test_tests_are_those_of_scipy(patients: int) -> None:
    ours, theirs = draw(4, patients), draw(5, patients, 0.02)
    (test,) = paired_tests({"a": per_patient(ours), "b": per_patient(theirs)}, "dice")
    assert (test.metric, test.first, test.second, test.patients, test.note) == (
        "dice",
        "a",
        "b",
        patients,
        "",
    )
    assert test.t_p == test.t_p_holm == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert test.wilcoxon_p == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)
    difference = ours - theirs
    assert test.difference.mean == pytest.approx(difference.mean())
    assert test.difference.low < difference.mean() < test.difference.high
    assert test.cohens_d == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert test.cohens_d == pytest.approx(stats.ttest_rel(ours, theirs).statistic / patients**0.5)


def test_rank_biserial_by_hand() -> None:
    """Kerby 2014: the ranks for (2, 3, 4, 5 = 14 of 15) minus the ranks against (1 of 15)."""
    ours = per_patient(np.array([-1.0, 2, 3, 4, 5, 0]))
    (test,) = paired_tests({"a": ours, "b": per_patient(np.zeros(6))}, "asd_mm")
    assert test.rank_biserial == pytest.approx(13 / 15)
    (back,) = paired_tests({"b": per_patient(np.zeros(6)), "a": ours}, "asd_mm")
    assert back.rank_biserial == pytest.approx(-13 / 15) and back.difference.mean == -test.difference.mean


def test_wilcoxon_leaves_out_patients_without_a_difference() -> None:
    difference = np.array([0.0, 0.0, 1, -2, 3, 4, 5, 6, 7])
    (test,) = paired_tests({"a": per_patient(difference), "b": per_patient(np.zeros(9))}, "dice")
    assert test.wilcoxon_p == pytest.approx(stats.wilcoxon(difference[2:], method="exact").pvalue)
    assert test.patients == 9 and test.t_p == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)


def test_the_patient_is_the_unit() -> None:
    one = {"p": [0.8, 1.0], "q": [0.5], "r": [0.4, NAN]}
    other = {"p": [0.7], "q": [0.7, 0.5], "r": [0.2]}
    (test,) = paired_tests({"a": one, "b": other}, "dice")
    (means,) = paired_tests(
        {"a": per_patient(np.array([0.9, 0.5, 0.4])), "b": per_patient(np.array([0.7, 0.6, 0.2]))}, "dice"
    )
    assert test.patients == 3 and test.t_p == pytest.approx(means.t_p)
    assert test.difference.mean == pytest.approx(0.1)


def test_methods_that_are_the_same() -> None:
    values = per_patient(draw(6, 10))
    (test,) = paired_tests({"a": values, "b": {key: [v + 1e-15 for v in each] for key, each in values.items()}}, "x")
    assert (test.t_p, test.wilcoxon_p, test.cohens_d, test.rank_biserial) == (1, 1, 0, 0)
    assert (test.difference.mean, test.difference.low, test.difference.high) == (0, 0, 0)
    assert test.note == "no patient differs"


def test_the_same_difference_everywhere_has_no_t_test() -> None:
    values = per_patient(draw(7, 10))
    more = {key: [v + 0.1 for v in each] for key, each in values.items()}
    (test,) = paired_tests({"a": more, "b": values}, "x")
    assert math.isnan(test.t_p) and math.isnan(test.t_p_holm) and math.isnan(test.cohens_d)
    assert test.wilcoxon_p < 0.05 and test.rank_biserial == 1
    assert test.note == "all differ by the same: no t-test, no Cohen's d"


@pytest.mark.parametrize(("patients", "least"), [(2, "0.5"), (5, "0.0625")])
def test_few_patients_are_noted(patients: int, least: str) -> None:
    ours = per_patient(np.arange(1.0, patients + 1))
    (test,) = paired_tests({"a": ours, "b": per_patient(np.zeros(patients))}, "x")
    assert test.wilcoxon_p == float(least)
    assert test.note == f"{patients} patients differ: Wilcoxon's p cannot be below {least}"


def test_one_patient_or_none_cannot_be_tested() -> None:
    for one, other, shared in (
        ({"p": [1.0]}, {"p": [0.5]}, 1),
        ({"p": [1.0]}, {"q": [0.5]}, 0),
        ({"p": [NAN]}, {"p": [0.5]}, 0),
    ):
        (test,) = paired_tests({"a": one, "b": other}, "x")
        assert test.patients == shared and "a test needs two patients" in test.note
        assert all(math.isnan(p) for p in (test.t_p, test.wilcoxon_p, test.t_p_holm, test.wilcoxon_p_holm))
        assert ("left out" in test.note) == (shared == 0)


def test_all_pairs_are_corrected_together() -> None:
    methods = {name: per_patient(draw(k, 12, 0.02 * k)) for k, name in enumerate("abc")}
    tests = paired_tests(methods, "dice")
    assert [(test.first, test.second) for test in tests] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [test.t_p_holm for test in tests] == holm([test.t_p for test in tests])
    assert [test.wilcoxon_p_holm for test in tests] == holm([test.wilcoxon_p for test in tests])
    again = correct([*tests, *tests])
    assert [test.t_p_holm for test in again] == holm([test.t_p for test in tests] * 2)
    assert correct([]) == ()


def test_one_method_has_nothing_to_be_compared_with() -> None:
    with pytest.raises(UserError, match="comparison: has one method; give two or more folders"):
        paired_tests({"a": {"p": [1.0]}}, "dice")


def test_holm_as_r_does_it() -> None:
    """Holm's example and R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.05, 0.01, 0.03, 0.04, 0.02]) == pytest.approx([0.09, 0.05, 0.09, 0.09, 0.08])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == [1.0, 1.0] and holm([]) == []


@given(P_VALUES)
def test_holm_by_its_definition(values: list[float]) -> None:
    """The k-th smallest is the largest (m - j) p_j of all j up to k, at most 1."""
    found, known = holm(values), sorted(p for p in values if not math.isnan(p))
    for p, autospine in zip(values, found, strict=True):
        if math.isnan(p):
            assert math.isnan(autospine)
            continue
        below = [(len(known) - j) * q for j, q in enumerate(known) if q <= p and j <= known.index(p)]
        assert autospine == pytest.approx(min(1.0, max(below))) and p <= autospine <= 1
