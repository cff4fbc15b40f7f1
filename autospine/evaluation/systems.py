"""Two or more folders of predictions compared on the same references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autospine.evaluation.statistics import PairedTest


def system_names(folders: Sequence[str | Path]) -> tuple[str, ...]:
    """A short name for each folder, no two alike."""
    raise NotImplementedError


def by_patient(
    values: Mapping[str, float], patients: Mapping[str, str] | None = None
) -> dict[str, tuple[float, ...]]:
    """Values by case id, gathered by patient."""
    raise NotImplementedError


def compare_systems(
    systems: Mapping[str, Mapping[str, Mapping[str, float]]], patients: Mapping[str, str] | None = None
) -> tuple[PairedTest, ...]:
    """Every metric, every pair of systems; Holm's correction over all of them together."""
    raise NotImplementedError
