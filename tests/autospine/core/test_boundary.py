from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autospine.core.boundary import TRACES, Boundary, _temporary
from autospine.core.errors import UserError


def divide(number: int) -> float:
    if number < 0:
        raise UserError("the number", "is negative", "give another")
    if number == 7:
        raise MemoryError
    return 1 / number


def test_answers_and_users_mistakes_pass(tmp_path: Path) -> None:
    boundary = Boundary("divide", tmp_path)
    assert boundary.attempt("a", divide, 2) == 0.5
    assert str(boundary.attempt("a", divide, -1)) == "the number: is negative; give another"
    assert list(tmp_path.iterdir()) == []


def test_traces_of_all_cases_stand_in_one_file(tmp_path: Path) -> None:
    boundary = Boundary("divide", tmp_path / "new")
    lines = [str(boundary.attempt(case, divide, number)) for case, number in (("a", 0), ("b", 7))]
    traces = tmp_path / "new" / TRACES
    assert lines == [
        f"a: divide met an unexpected ZeroDivisionError (division by zero); its full trace is in {traces}",
        f"b: divide needs more memory than there is; its full trace is in {traces}",
    ]
    text = traces.read_text()
    assert text.count("Traceback") == 2
    assert text.index("divide a") < text.index("ZeroDivisionError") < text.index("divide b") < text.index("MemoryError")


@pytest.fixture
def fresh() -> Iterator[None]:
    _temporary.cache_clear()
    yield
    _temporary.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_folder_that_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    error = Boundary("divide", tmp_path / "file").line("a", ValueError("many\n lines"))
    (traces,) = (tmp_path / "temporary").iterdir()
    assert str(error).endswith(f"ValueError (many lines); its full trace is in {traces}")
    assert "many\n lines" in traces.read_text()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    _temporary.cache_clear()
    error = Boundary("divide").line("a", ValueError("x" * 1000))
    assert str(error).endswith("xxx); --debug shows its full trace")
    assert len(str(error)) < 300


def test_a_full_disk_is_said_without_a_trace(tmp_path: Path) -> None:
    boundary = Boundary("divide", tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    hint = "the disk of the output or of temporary files is full; free some space and run the command again"
    assert str(boundary.line("a", full)) == f"a: {hint}"
    assert str(boundary.line("a", OSError(*full.args, "events"))) == f"events: {hint}"
    assert list(tmp_path.iterdir()) == []
