"""Calls of native libraries that a damaged file may crash, in one process apart that is kept for the next call.

The process is a bare interpreter, not one of `multiprocessing`: that would run a user's script once more. Requests and
results are pickled over its standard input and output.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from autospine.core.errors import UserError

Result = TypeVar("Result")
START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from autospine.core.isolation import serve; serve()"
)
# Each thread would reserve address space, on a large machine more than a call may take.
ONE_THREAD = dict.fromkeys(
    ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1"
)
WORN = 2**30  # bytes of address space above which a process, whose library leaks after damaged files, is renewed


class WorkerDiedError(Exception):
    """The process ended in the middle of a call, or had to be ended since it took too long."""


class _Worker:
    """One process; it belongs to the process that started it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD},
        )
        self.send(sys.path)

    def send(self, content: object) -> None:
        """Write one object to the process."""
        assert self.process.stdin is not None
        pickle.dump(content, self.process.stdin, protocol=5)
        self.process.stdin.flush()

    def receive(self) -> Any:
        """Read one object from the process."""
        assert self.process.stdout is not None
        return pickle.load(self.process.stdout)

    def alive(self) -> bool:
        """Return whether this process may use it."""
        return self.owner == os.getpid() and self.process.poll() is None

    def kill(self) -> None:
        """End the process."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.communicate()  # closes the pipes


_lock = threading.Lock()
_workers: list[_Worker] = []  # at most one


def isolated(work: Callable[..., Result], *arguments: object, seconds: float, memory: int) -> Result:
    """Call a module-level function in the process apart, one call at a time.

    Args:
        work: The function; what it takes and gives has to pickle.
        arguments: What it gets.
        seconds: After which it is given up.
        memory: Bytes that it may take (on Linux; elsewhere it is not limited).

    Raises:
        WorkerDiedError: It crashed or took too long. The next call gets a new process.
        UserError: As raised by the function.
        RuntimeError: Any other exception of the function, as text.
    """
    with _lock:
        if not (_workers and _workers[0].alive()):
            _workers[:] = [_Worker()]
        worker = _workers[0]
        clock = threading.Timer(seconds, worker.process.kill)
        clock.start()
        try:
            worker.send((work, arguments, memory))
            succeeded, result, taken = worker.receive()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            worker.kill()
            raise WorkerDiedError(str(worker.process.returncode)) from error
        except BaseException:  # interrupted: its result would be taken for that of the next call
            worker.kill()
            raise
        finally:
            clock.cancel()
        if taken > WORN:
            worker.kill()
    if succeeded:
        return cast(Result, result)
    raise result


def serve() -> None:
    """Serve calls until the parent is gone; what native code prints is thrown away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            work, arguments, memory = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _limit(_address_space() + memory)
        succeeded, result = _attempt(work, arguments)
        pickle.dump((succeeded, result, _address_space()), results, protocol=5)
        results.flush()


def _address_space() -> int:
    """Return the bytes of this process's address space; 0 where Linux does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _limit(space: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (space if most < 0 else min(space, most), most))


def _attempt(work: Callable[..., object], arguments: tuple[object, ...]) -> tuple[bool, object]:
    try:
        return True, work(*arguments)
    except UserError as error:
        return False, error
    except Exception as error:  # may not pickle
        return False, RuntimeError(f"{type(error).__name__}: {error}")


@atexit.register
def _end() -> None:
    for worker in _workers:
        worker.kill()
