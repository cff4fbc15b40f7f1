"""Two or more folders of predictions compared on the same references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.cases import patient_and_sequence
from autospine.evaluation.statistics import PairedTest, check_systems, correct, paired_tests


def system_names(folders: Sequence[str | Path]) -> tuple[str, ...]:
    """A name for each folder: as few of its last parts as tell it from the others.

    Raises:
        UserError: A folder is given twice.

    Example:
        >>> system_names(["work/unet/fold_0", "work/gan/fold_0"])
        ('unet/fold_0', 'gan/fold_0')
    """
    parts = [Path(folder).resolve().parts for folder in folders]
    for folder, own in zip(folders, parts, strict=True):
        if parts.count(own) > 1:
            raise UserError(folder, "is given twice", "compare different folders")
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = tuple("/".join(own[-depth:]) for own in parts)
        if len(set(names)) == len(names):
            return names
    return tuple(map(str, folders))


def by_patient(values: Mapping[str, float], patients: Mapping[str, str] | None = None) -> dict[str, tuple[float, ...]]:
    """Gathers the values of a patient's cases.

    Args:
        values: By case id.
        patients: By case id (`read_patients`); a case that is not in it is the patient's that its id names.

    Example:
        >>> by_patient({"1_t1": 0.9, "1_t2": 0.8, "2_t2": 0.7})
        {'1': (0.9, 0.8), '2': (0.7,)}
    """
    found: dict[str, list[float]] = {}
    for id_, value in values.items():
        patient = (patients or {}).get(id_) or patient_and_sequence(id_)[0]
        found.setdefault(patient, []).append(value)
    return {patient: tuple(each) for patient, each in found.items()}


def compare_systems(
    systems: Mapping[str, Mapping[str, Mapping[str, float]]], patients: Mapping[str, str] | None = None
) -> tuple[PairedTest, ...]:
    """Tests every pair of systems on every metric.

    Args:
        systems: By name of the system, then by metric: the values by case id. A case that a system failed on
            should be there with its worst value, not left out.
        patients: By case id, see `by_patient`.

    Returns:
        Metric by metric in the order of the first system, with Holm's correction over all of them together.

    Raises:
        UserError: There are fewer than two systems, or one lacks a metric of the first.
    """
    check_systems(systems)
    tests: list[PairedTest] = []
    for metric in next(iter(systems.values())):
        for name, metrics in systems.items():
            if metric not in metrics:
                raise UserError(name, f"has no {metric}", "score every system by the same metrics")
        chosen = {name: by_patient(metrics[metric], patients) for name, metrics in systems.items()}
        tests += paired_tests(chosen, metric)
    return correct(tests)
