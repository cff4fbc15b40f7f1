from __future__ import annotations

from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.evaluation.methods import by_patient, compare_methods, method_names
from autospine.evaluation.statistics import holm


def test_names_tell_folders_apart() -> None:
    assert method_names(["runs/unet", "runs/gan/"]) == ("unet", "gan")
    assert method_names([Path("a/m/fold_0"), "b/m/fold_0"]) == ("a/m/fold_0", "b/m/fold_0")
    assert method_names([]) == ()


def test_a_folder_given_twice_is_a_user_error() -> None:
    with pytest.raises(UserError, match="runs/unet: is given twice; compare different folders"):
        method_names(["runs/unet", "runs/../runs/unet"])


def test_cases_of_a_patient_stand_together() -> None:
    values = {"1_t1": 1.0, "1_t2": 2.0, "scan": 3.0, "other": 4.0}
    assert by_patient(values) == {"1": (1.0, 2.0), "scan": (3.0,), "other": (4.0,)}
    assert by_patient(values, {"other": "scan"})["scan"] == (3.0, 4.0)


def test_every_metric_and_pair_is_corrected_together() -> None:
    methods = {
        name: {
            metric: {f"{k}_t2": (k * step) % 7 + gain * k for k in range(9)}
            for metric, step in (("dice", 3), ("asd_mm", 5))
        }
        for name, gain in (("a", 0.0), ("b", 0.1), ("c", 0.7))
    }
    tests = compare_methods(methods)
    assert [test.metric for test in tests] == ["dice"] * 3 + ["asd_mm"] * 3
    assert [test.t_p_holm for test in tests] == holm([test.t_p for test in tests])
    assert {test.patients for test in tests} == {9}
    grouped = compare_methods(methods, {f"{k}_t2": str(k % 2) for k in range(9)})
    assert {test.patients for test in grouped} == {2}


def test_what_cannot_be_compared_is_a_user_error() -> None:
    with pytest.raises(UserError, match="b: has no dice; score every method"):
        compare_methods({"a": {"dice": {"1": 1.0}}, "b": {}})
    with pytest.raises(UserError, match="has one method"):
        compare_methods({"a": {"dice": {"1": 1.0}}})
    with pytest.raises(UserError, match="has no method"):
        compare_methods({})
