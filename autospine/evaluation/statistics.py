"""Intervals over patients, paired tests between methods, Holm's correction, effect sizes.

Series of one patient are no independent samples: what is drawn, and what is tested, are patients.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from math import fsum, isnan, nan

import numpy as np

from autospine.core.errors import UserError
from autospine.dataset.cases import patient_and_sequence

DECIMALS = 12  # differences below are those of arithmetic
FEWEST_FOR_WILCOXON = 6  # with 5 pairs the least possible two-sided p is 2 / 2**5 = 0.0625


@dataclass(frozen=True)
class Interval:
    """A mean and how far it may be off."""

    mean: float  # over all values; NaN without any
    low: float  # and `high`: the ends of the interval; NaN below two patients
    high: float
    patients: int  # with at least one value


NO_INTERVAL = Interval(nan, nan, nan, 0)


@dataclass(frozen=True)
class PairedTest:
    """Two methods on the same patients."""

    metric: str  # what is compared
    first: str  # a method
    second: str  # the other
    patients: int  # those with a value from both methods; the mean over a patient's series is its value
    difference: Interval  # first minus second, mean over patients
    t_p: float  # two-sided p-value of the paired t-test
    # Two-sided p-value of Wilcoxon's signed-rank test; patients without a difference are left out, as Wilcoxon did.
    # Exact up to 50 patients without ties.
    wilcoxon_p: float
    t_p_holm: float  # `t_p` with Holm's correction over all the t-tests that are printed together
    wilcoxon_p_holm: float  # the same for Wilcoxon's tests, a family of their own
    cohens_d: float  # of paired samples (d_z): mean difference over the standard deviation of the differences
    # Matched-pairs rank-biserial correlation (Kerby 2014), -1 to 1: the share of the rank sum that speaks for a higher
    # value of the first method minus the share that speaks against.
    rank_biserial: float
    note: str = ""  # what a reader should know about these figures; empty if nothing


def bootstrap(
    values: Mapping[str, Sequence[float]], resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Compute the mean over all values, with a percentile bootstrap interval over patients.

    Patients are drawn with replacement, each with all of its values (cluster bootstrap; Efron & Tibshirani
    1993, chapter 13, for the percentiles). So `mean` is the mean over cases that tables show, and the interval
    is wide where series of a patient are alike.

    Args:
        values: Of each patient's cases. NaN means absent: it enters no mean, and a patient with nothing else
            is not drawn.
        resamples: How often the patients are drawn.
        seed: The same seed draws the same patients.
        level: Share of the resampled means that lie inside, 0 to 1.
    """
    known = [[value for value in values[patient] if not isnan(value)] for patient in sorted(values)]
    known = [series for series in known if series]
    if not known:
        return NO_INTERVAL
    sums = np.array([fsum(series) for series in known])  # (patients,)
    counts = np.array([len(series) for series in known], float)
    mean = fsum(sums) / float(counts.sum())
    if len(known) < 2:
        return Interval(mean, nan, nan, 1)
    draws = _draws(len(known), resamples, seed)
    outside = (1 - level) / 2
    low, high = np.quantile((draws @ sums) / (draws @ counts), [outside, 1 - outside])
    return Interval(mean, float(low), float(high), len(known))


def by_patient(values: Mapping[str, float], patients: Mapping[str, str] | None = None) -> dict[str, tuple[float, ...]]:
    """Gather values by case id into those of each patient, whom `patients` names, or else the case's id.

    Example:
        >>> by_patient({"1_t1": 0.9, "1_t2": 0.8, "2_t2": 0.7})
        {'1': (0.9, 0.8), '2': (0.7,)}
    """
    gathered: dict[str, tuple[float, ...]] = {}
    for id_, value in values.items():
        patient = (patients or {}).get(id_) or patient_and_sequence(id_)[0]
        gathered[patient] = (*gathered.get(patient, ()), value)
    return gathered


@lru_cache(maxsize=4)
def _draws(patients: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each patient is in each resample, (resamples, patients)."""
    equal = np.full(patients, 1 / patients)
    draws = np.random.default_rng(seed).multinomial(patients, equal, size=resamples).astype(float)
    draws.flags.writeable = False
    return draws


def paired_tests(methods: Mapping[str, Mapping[str, Sequence[float]]], metric: str) -> tuple[PairedTest, ...]:
    """Compare every pair of methods on one metric, given values by patient; NaN means absent.

    Returns:
        One test per pair, in the order of the methods, corrected over all of them. Tests of several metrics that
        are printed together go through `correct` once more.

    Raises:
        UserError: There are fewer than two methods.
    """
    check_methods(methods)
    means = {name: _patient_means(values) for name, values in methods.items()}
    pairs = combinations(means, 2)
    return correct(_paired_test(metric, one, other, means[one], means[other]) for one, other in pairs)


def check_methods(names: Collection[str]) -> None:
    """Make sure that there is something to compare.

    Raises:
        UserError: There are fewer than two methods.
    """
    if len(names) < 2:
        have = "one method" if names else "no method"
        raise UserError("comparison", f"has {have}", "give two or more folders of predictions")


def _patient_means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    known = {patient: [v for v in series if not isnan(v)] for patient, series in values.items()}
    return {patient: fsum(series) / len(series) for patient, series in known.items() if series}


def _paired_test(
    metric: str, first: str, second: str, first_means: Mapping[str, float], second_means: Mapping[str, float]
) -> PairedTest:
    shared = sorted(first_means.keys() & second_means.keys())
    differences = np.array([first_means[patient] - second_means[patient] for patient in shared]).round(DECIMALS)
    t_p, wilcoxon_p = _t_test(differences), _wilcoxon(differences)
    return PairedTest(
        metric=metric,
        first=first,
        second=second,
        patients=len(shared),
        difference=bootstrap(dict(zip(shared, ([float(difference)] for difference in differences), strict=True))),
        t_p=t_p,
        wilcoxon_p=wilcoxon_p,
        t_p_holm=t_p,
        wilcoxon_p_holm=wilcoxon_p,
        cohens_d=_cohens_d(differences),
        rank_biserial=_rank_biserial(differences),
        note=_note(differences, len(first_means.keys() ^ second_means.keys())),
    )


def _t_test(differences: np.ndarray) -> float:
    """Return the p-value: NaN below two patients, and where all differ by the same; 1 where none differs."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2:
        return nan
    if (differences == differences[0]).all():
        return 1.0 if differences[0] == 0 else nan
    return float(ttest_1samp(differences, 0).pvalue)


def _wilcoxon(differences: np.ndarray) -> float:
    """Return the p-value: NaN below two patients, 1 where none differs."""
    from scipy.stats import wilcoxon

    if len(differences) < 2:
        return nan
    differing = differences[differences != 0]
    return float(wilcoxon(differing).pvalue) if differing.size else 1.0


def _cohens_d(differences: np.ndarray) -> float:
    """Return d_z: NaN below two patients, and where all differ by the same; 0 where none differs."""
    if len(differences) < 2:
        return nan
    if (differences == differences[0]).all():
        return 0.0 if differences[0] == 0 else nan
    return float(differences.mean() / differences.std(ddof=1))


def _rank_biserial(differences: np.ndarray) -> float:
    """Return the correlation: NaN without patients, 0 where none differs."""
    from scipy.stats import rankdata

    if not len(differences):
        return nan
    differing = differences[differences != 0]
    ranks = rankdata(abs(differing))
    return float((ranks * (differing > 0)).sum() - (ranks * (differing < 0)).sum()) / (ranks.sum() or 1.0)


def _note(differences: np.ndarray, left_out: int) -> str:
    differing = int((differences != 0).sum())
    notes = []
    if left_out:
        notes.append(f"{left_out} patients have a value from one method only and are left out")
    if len(differences) < 2:
        notes.append("a test needs two patients")
    elif not differing:
        notes.append("no patient differs")
    elif differing < FEWEST_FOR_WILCOXON:
        least = f"{2 / 2**differing:.3g}"
        notes.append(f"{differing} patients differ: Wilcoxon's p cannot be below {least}")
    if len(differences) > 1 and differing and (differences == differences[0]).all():
        notes.append("all differ by the same: no t-test, no Cohen's d")
    return "; ".join(notes)


def correct(tests: Iterable[PairedTest]) -> tuple[PairedTest, ...]:
    """Correct p-values by Holm over all tests that are printed together.

    The t-tests are one family and Wilcoxon's are another: they ask the same question, and one of them should be
    chosen before looking.
    """
    tests = tuple(tests)
    by_t, by_ranks = (holm([getattr(test, name) for test in tests]) for name in ("t_p", "wilcoxon_p"))
    return tuple(
        replace(test, t_p_holm=t, wilcoxon_p_holm=ranks) for test, t, ranks in zip(tests, by_t, by_ranks, strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values step-down (Holm 1979, "A simple sequentially rejective multiple test procedure").

    The k-th smallest of m values (k from 0) is multiplied by m - k, and none may be below one before it or above
    1. NaN stays NaN and is no member of the family.

    Example:
        >>> holm([0.25, 0.125])
        [0.25, 0.25]
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not isnan(p))
    corrected, highest = [nan] * len(p_values), 0.0
    for k, (p, index) in enumerate(known):
        highest = max(highest, min(p * (len(known) - k), 1.0))
        corrected[index] = highest
    return corrected
