"""Intervals over patients, paired tests between systems, Holm's correction, effect sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float
    patients: int


@dataclass(frozen=True)
class PairedTest:
    """Two systems compared on the same patients; `difference` is first minus second."""

    metric: str
    first: str
    second: str
    patients: int
    difference: Interval
    t_p: float
    wilcoxon_p: float
    t_p_holm: float
    wilcoxon_p_holm: float
    cohens_d: float
    rank_biserial: float
    note: str = ""


def bootstrap(
    values: Mapping[str, Sequence[float]], resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean over all cases, with an interval from resampled patients."""
    raise NotImplementedError


def paired_tests(
    systems: Mapping[str, Mapping[str, Sequence[float]]], metric: str
) -> tuple[PairedTest, ...]:
    """Compares every pair of systems on one metric."""
    raise NotImplementedError


def correct(tests: Iterable[PairedTest]) -> tuple[PairedTest, ...]:
    """Holm's correction over all tests that are printed together."""
    raise NotImplementedError


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction."""
    raise NotImplementedError
