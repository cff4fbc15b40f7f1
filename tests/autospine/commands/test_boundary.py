"""In every command that goes through cases, an error that nobody foresaw is one line; the others finish."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.core.boundary import TRACES
from autospine.volumes import reading
from tests.autospine.inference.conftest import bright as bright  # noqa: PLC0414
from tests.autospine.inference.conftest import save as save  # noqa: PLC0414

IDS = ("1_t2", "2_t2", "3_t2")
BAD = "2_t2"


@pytest.fixture
def dataset(tmp_path: Path, spine: Callable) -> Path:
    for case in IDS:
        spine(tmp_path / "data", case)
    return tmp_path / "data"


@pytest.fixture
def stumbling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Lets reading one case fail in a way that no reader foresees."""
    values = reading._values

    def set_up(error: Exception) -> None:
        def fail(path: Path) -> object:
            if path.name.startswith(BAD):
                raise error
            return values(path)

        monkeypatch.setattr(reading, "_values", fail)

    return set_up


def run(command: Callable, name: str, *words: object) -> tuple[int, str]:
    answer = command(importlib.import_module(f"autospine.commands.{name}").main, *words, "--workers", 1)
    return answer.status, answer.out + answer.err


@pytest.mark.parametrize("error", [AttributeError("odd"), RecursionError("too deep")])
@pytest.mark.parametrize(
    ("name", "words", "doing", "made"),
    [
        ("predict", ("-i", "DATA", "-o", "OUT", "-m", "MODEL", "--device", "cpu", "--overlay"), "predict", "{}.png"),
        ("evaluate", ("DATA/masks", "DATA", "-o", "OUT"), "scoring", "cases.csv"),
        ("clean", ("-i", "DATA/masks", "-o", "OUT"), "clean", "{}.mha"),
        ("reconstruct", ("-i", "DATA", "-o", "OUT"), "reconstruct", "{}.mha"),
        ("slices", ("-i", "DATA", "-o", "OUT"), "slices", "images/{}_000.png"),
    ],
)
def test_the_others_finish(
    command: Callable,
    tmp_path: Path,
    dataset: Path,
    bright: Callable,
    stumbling: Callable,
    request: pytest.FixtureRequest,
    error: Exception,
    name: str,
    words: tuple[str, ...],
    doing: str,
    made: str,
) -> None:
    if name == "predict":
        request.getfixturevalue("toys")
        bright(tmp_path / "model")
    stumbling(error)
    places = {"DATA": str(dataset), "OUT": str(tmp_path / "out"), "MODEL": str(tmp_path / "model")}
    for place, path in places.items():
        words = tuple(word.replace(place, path) for word in words)
    status, said = run(command, name, *words)
    assert status == 2
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if TRACES in line]
    assert lines and BAD in lines[-1] and doing in lines[-1]
    assert type(error).__name__ in (tmp_path / "out" / TRACES).read_text()
    for case in IDS:
        text = (tmp_path / "out" / made).read_text() if name == "evaluate" else ""
        there = case in text if text else (tmp_path / "out" / made.format(case)).exists()
        assert there == (case != BAD)


def test_a_plan_looks_at_all_cases_and_names_what_stumbled(
    command: Callable, tmp_path: Path, dataset: Path, stumbling: Callable
) -> None:
    stumbling(RecursionError("too deep"))
    status, said = run(command, "plan", dataset, tmp_path / "work", "--device", "cpu")
    assert status == 2
    assert "Traceback" not in said
    line = f"{BAD}: fingerprint met an unexpected RecursionError (too deep); its full trace is in"
    assert f"autospine_plan: error: {line} {tmp_path / 'work' / TRACES}" in said
    assert sorted(path.stem for path in (tmp_path / "work" / "fingerprint").iterdir()) == ["1_t2", "3_t2"]
