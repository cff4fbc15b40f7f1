from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.core.locks import locked
from tests.paths import ROOT

HOLD = (
    "import sys, pathlib; from autospine.core.locks import locked\n"
    "with locked(pathlib.Path(sys.argv[1]), 'paints', wait=False):\n"
    "    print('in', flush=True); sys.stdin.readline()"
)


@pytest.fixture
def other(tmp_path: Path):
    """Another process, which works in the folder until it is told something."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_a_second_process_is_told_which_one_works_there(other: subprocess.Popen[str], tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match=rf"{tmp_path}: is in use: process {other.pid} on \S+ paints; wait")
    with refused, locked(tmp_path, "reads", wait=False):
        pytest.fail("two at once")
    other.communicate("go\n")
    with locked(tmp_path, "reads", wait=False):
        assert f"process {os.getpid()} " in (tmp_path / ".lock_holder").read_text()
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}


def test_the_lock_of_a_killed_process_is_free(other: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with locked(tmp_path, "reads", wait=False):
        pass


def test_one_that_waits_says_so_and_goes_on(
    other: subprocess.Popen[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timer = threading.Timer(0.5, other.communicate, ("go\n",))
    timer.start()
    with caplog.at_level(logging.INFO), locked(tmp_path, "reads", wait=True):
        assert other.wait(5) == 0
    timer.join()
    assert f"process {other.pid}" in caplog.text
    assert "waiting until it has ended" in caplog.text


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"), locked(tmp_path / "file" / "folder", "reads", wait=True):
        pytest.fail("nothing to lock")
