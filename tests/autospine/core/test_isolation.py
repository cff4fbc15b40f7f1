"""Calls in the process apart: what a crash, a hang or a flood of memory of native code leaves behind is one error."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from autospine.core.errors import UserError
from autospine.core.isolation import WorkerDiedError, isolated

LIMITS = {"seconds": 20.0, "memory": 2**28}


def refuse(word: str) -> None:
    raise UserError("scan.mha", f"is {word}", "copy it again")


def shout(word: str) -> str:
    os.write(1, b"native code prints")
    os.write(2, b"and complains")
    return word


def take(count: int) -> int:
    return len(bytearray(count))


def test_calls_share_one_process_which_is_not_this_one():
    first, second = (isolated(os.getpid, **LIMITS) for _ in range(2))
    assert first == second != os.getpid()


def test_a_crash_is_an_error_and_the_next_call_works():
    with pytest.raises(WorkerDiedError):
        isolated(os.abort, **LIMITS)
    assert isolated(abs, -3, **LIMITS) == 3


def test_a_hang_is_ended():
    started = time.monotonic()
    with pytest.raises(WorkerDiedError):
        isolated(time.sleep, 60, seconds=0.5, memory=2**28)
    assert time.monotonic() - started < 10
    assert isolated(abs, -3, **LIMITS) == 3


def test_errors_of_the_work_come_back():
    with pytest.raises(UserError, match=r"scan\.mha: is damaged; copy it again"):
        isolated(refuse, "damaged", **LIMITS)
    with pytest.raises(RuntimeError, match="ValueError: invalid literal"):
        isolated(int, "x", **LIMITS)


def test_what_native_code_prints_is_thrown_away(capfd):
    assert isolated(shout, "answer", **LIMITS) == "answer"
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_is_limited_by_call():
    with pytest.raises(RuntimeError, match="MemoryError"):
        isolated(take, 2**29, **LIMITS)
    assert isolated(take, 2**29, seconds=20.0, memory=2**30) == 2**29


def test_an_unguarded_script_is_not_run_again(tmp_path):
    """`multiprocessing` would import the script in the new process, and start one more from there."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nprint('started', flush=True)\n"
        f"sys.path[:] = {sys.path!r}\n"
        "from autospine.core.isolation import isolated\n"
        "print(isolated(abs, -3, seconds=20.0, memory=2**28))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("started\n3\n", "")
