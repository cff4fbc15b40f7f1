from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autospine.core import parallel
from autospine.core.boundary import TRACES
from autospine.core.errors import UserError
from autospine.core.parallel import run_cases, together, try_cases
from tests.paths import ROOT

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from autospine.core import parallel
from autospine.core.errors import UserError
from autospine.core.parallel import run_cases

parallel.PATIENCE = 0  # everything in other processes
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without

def square(number):
    if number == 3: raise UserError(f"{number}.mha", "is odd", "mend it")
    return number * number

def die(number):
    if number in (4, 30): os.kill(os.getpid(), signal.SIGKILL)
    if number == 6: raise Unsendable(1, 2)
    return number

class Unsendable(Exception):
    def __init__(self, one, two): super().__init__("nobody can send it")

def send(number):
    return (lambda: number) if number == 8 else number

def slow(number):
    Path(sys.argv[2], str(os.getpid())).touch()
    time.sleep(0.5)

if __name__ == "__main__":
    numbers = list(range(0, 40, 2)) if sys.argv[1] != "fails" else list(range(6))
    work = {"good": square, "fails": square, "die": die, "slow": slow, "send": send}[sys.argv[1]]
    try:
        if sys.argv[1] in ("die", "send"):
            print(*parallel.try_cases(work, numbers, [f"case {n}" for n in numbers], "test", 2), sep="\\n")
            sys.exit()
        print(run_cases(work, numbers, [f"case {n}" for n in numbers], "test", 2))
    except UserError as error:
        print(error)
"""


def odd(number: int) -> int:
    if number % 2:
        raise UserError(f"{number}.mha", "is odd", "mend it")
    return number * number


def names(count: int) -> list[str]:
    return [f"case {number}" for number in range(count)]


def test_answers_come_in_the_jobs_order() -> None:
    assert run_cases(odd, [4, 0, 2], names(3), "test", 1) == [16, 0, 4]
    assert run_cases(odd, [], [], "test", 1) == []


def test_one_failure_is_raised_after_the_others_had_their_turn() -> None:
    done = []

    def work(number: int) -> int:
        done.append(number)
        return odd(number)

    with pytest.raises(UserError, match=r"^1\.mha: is odd; mend it$"):
        run_cases(work, [0, 1, 2, 4, 6], names(5), "test", 1)
    assert done == [0, 1, 2, 4, 6]


def test_several_failures_are_counted_and_listed_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(UserError) as error:
        run_cases(odd, [5, 2, 3, 1], names(4), "test", 1)
    assert str(error.value) == "5.mha: is odd (and 2 more, listed above); mend it"
    assert [record.getMessage() for record in caplog.records] == [
        f"{number}.mha: is odd; mend it" for number in (5, 3, 1)
    ]


def test_one_failure_stays_as_it_is() -> None:
    error = UserError("a", "b", "c")
    assert together([error]) is error


def inverse(number: int) -> int:
    return 1 // number


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unexpected_error_is_one_line_of_its_case_and_the_others_finish(tmp_path: Path, workers: int) -> None:
    first, second, third = try_cases(inverse, [1, 0, -1], names(3), "dividing", workers, tmp_path / "out")
    assert (first, third) == (1, -1)
    traces = tmp_path / "out" / TRACES
    assert str(second) == (
        "case 1: dividing met an unexpected ZeroDivisionError (integer division or modulo by zero); "
        f"its full trace is in {traces}"
    )
    assert "return 1 // number" in traces.read_text()


def start(tmp_path: Path, mode: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "seen").mkdir()
    return subprocess.Popen(
        [sys.executable, str(script), mode, str(tmp_path / "seen")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )


def processes(tmp_path: Path) -> list[int]:
    return [int(path.name) for path in (tmp_path / "seen").iterdir()]


def wait_until(what: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("good", str([n * n for n in range(0, 40, 2)])),
        ("fails", "3.mha: is odd; mend it"),
    ],
    ids=["good", "fails"],
)
def test_processes(tmp_path: Path, mode: str, said: str) -> None:
    out, err = start(tmp_path, mode).communicate(timeout=30)
    assert said in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_dead_process_is_the_error_of_its_case_alone(tmp_path: Path) -> None:
    out, err = start(tmp_path, "die").communicate(timeout=120)
    expected = [str(number) for number in range(0, 40, 2)]
    for number in (4, 30):
        expected[number // 2] = (
            f"case {number}: its worker process ended (most likely the machine ran out of memory); use fewer --workers"
        )
    expected[3] = out.splitlines()[3]
    assert expected[3].startswith(
        "case 6: test met an unexpected Unsendable (nobody can send it); its full trace is in"
    )
    assert out.splitlines() == expected
    assert "Traceback" not in err


@pytest.mark.slow
def test_an_answer_that_cannot_be_sent_is_the_error_of_its_case(tmp_path: Path) -> None:
    lines = start(tmp_path, "send").communicate(timeout=60)[0].splitlines()
    assert lines[4].startswith("case 8: test met an unexpected ")
    assert [*lines[:4], *lines[5:]] == [str(number) for number in range(0, 40, 2) if number != 8]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    parent = start(tmp_path, "slow")
    wait_until(lambda: processes(tmp_path))
    parent.kill()
    parent.communicate(timeout=30)
    wait_until(lambda: not any(runs(process) for process in processes(tmp_path)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupt_ends_after_the_jobs_under_way(tmp_path: Path) -> None:
    parent = start(tmp_path, "slow")
    wait_until(lambda: processes(tmp_path))
    before = time.monotonic()
    os.killpg(parent.pid, signal.SIGINT)  # what Ctrl-C does
    _, err = parent.communicate(timeout=30)
    assert time.monotonic() - before < 4  # all jobs would take 5 s
    assert err.count("Traceback") == 1  # of the parent alone
    assert not any(runs(process) for process in processes(tmp_path))


def test_short_work_starts_no_process_and_long_work_does(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()
    assert set(run_cases(process_of, range(6), names(6), "test", 2)) == {here}
    clock = iter(range(100))
    monkeypatch.setattr(parallel.time, "monotonic", lambda: next(clock))  # a second for each look
    first, second, *rest = run_cases(process_of, range(8), names(8), "test", 2)
    assert first == here
    assert here not in rest
    assert len({second, *rest}) <= 3


def process_of(number: int) -> int:
    return os.getpid()
