from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.inference import precision
from autospine.inference.precision import FILE, prediction_precision

CPU = torch.device("cpu")
Clock = Callable[[float, float], None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(precision, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "autospine"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Says how long both formats take."""

    def says(single: float, half: float) -> None:
        times = {"float32": single, "bfloat16": half}
        monkeypatch.setattr(precision, "_seconds", lambda network, image, each: times[each.dtype])

    return says


@pytest.mark.parametrize(("half", "expected"), [(0.5, "bfloat16"), (0.98, "float32"), (1.37, "float32")])
def test_the_faster_format_is_taken_and_remembered(clock: Clock, half: float, expected: str) -> None:
    clock(1.0, half)
    assert prediction_precision(CPU, 2) == Precision(expected)
    clock(1.0, 2.0 if expected == "bfloat16" else 0.1)  # the other way round
    assert prediction_precision(CPU, 2) == Precision(expected)
    assert prediction_precision(CPU, 3) != prediction_precision(CPU, 2)  # measured for itself


def test_another_processor_or_torch_is_measured_for_itself(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    clock(1.0, 0.5)
    assert prediction_precision(CPU, 2).dtype == "bfloat16"
    clock(1.0, 2.0)
    monkeypatch.setattr(torch, "__version__", "99")
    assert prediction_precision(CPU, 2).dtype == "float32"
    monkeypatch.setattr(precision, "cpu_capabilities", lambda: {"cpu_name": "abacus", "amx_bf16": True})
    assert prediction_precision(CPU, 2).dtype == "float32"
    assert set(json.loads((cache / FILE).read_text())) >= {"abacus amx_bf16 torch 99 2-D"}


@pytest.mark.parametrize("content", ["", "[1]", '{"abacus": 3}', '{"a'])
def test_a_damaged_memory_is_begun_anew(clock: Clock, cache: Path, content: str) -> None:
    cache.mkdir()
    (cache / FILE).write_text(content)
    clock(1.0, 0.5)
    assert prediction_precision(CPU, 2).dtype == "bfloat16"
    assert len(json.loads((cache / FILE).read_text())) == 1


@pytest.mark.parametrize("usual", ["float32", "bfloat16"])
def test_where_nothing_can_be_remembered_no_clock_decides(
    clock: Clock, cache: Path, monkeypatch: pytest.MonkeyPatch, usual: str
) -> None:
    cache.touch()  # no folder can be made here
    monkeypatch.setattr(precision, "usual_precision", lambda device: Precision(usual))
    clock(1.0, {"float32": 0.5, "bfloat16": 2.0}[usual])
    assert prediction_precision(CPU, 2).dtype == usual


def test_the_format_that_is_asked_for_is_taken_without_a_measurement(cache: Path) -> None:
    assert prediction_precision(CPU, 2, "bfloat16") == Precision("bfloat16")
    assert not cache.exists()
    with pytest.raises(
        UserError, match="--precision int8: is no number format; choose from float32, bfloat16, float16"
    ):
        prediction_precision(CPU, 2, "int8")


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_real_measurement_leaves_the_threads_as_they_were(dimension: int) -> None:
    before = torch.get_num_threads()
    assert prediction_precision(CPU, dimension).dtype in ("float32", "bfloat16")
    assert torch.get_num_threads() == before
