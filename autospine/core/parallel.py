"""The same work on many cases, in processes, so that one failure names its case and spares the others."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Generic, TypeVar

from tqdm import tqdm

from autospine.core.boundary import Boundary
from autospine.core.errors import UserError

log = logging.getLogger(__name__)
Job = TypeVar("Job")
Result = TypeVar("Result")
FEW = 3  # jobs that are not worth the start of other processes
PATIENCE = 1.5  # seconds of work before other processes are started, which takes about as long


def run_cases(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    names: Sequence[str],
    doing: str,
    workers: int,
    output: Path | None = None,
) -> list[Result]:
    """Run `work` on every job as `try_cases` does, and return its results in the jobs' order.

    Raises:
        UserError: After all jobs have had their turn: the first failure, and how many more there are.
    """
    results = try_cases(work, jobs, names, doing, workers, output)
    failures = [result for result in results if isinstance(result, UserError)]
    if failures:
        raise together(failures)
    return [result for result in results if not isinstance(result, UserError)]


def try_cases(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    names: Sequence[str],
    doing: str,
    workers: int,
    output: Path | None = None,
) -> list[Result | UserError]:
    """Run `work` on every job: the first ones in threads, and when that takes long, the rest in processes.

    Args:
        work: A module-level function.
        jobs: What it gets.
        names: A case's name for each job.
        doing: Label of the progress bar, and what an unexpected error says was being done.
        workers: Threads or processes at once.
        output: Folder that gets the full traces of unexpected errors.

    Returns:
        Results in the jobs' order; of a job that failed, in whatever way, its error.
    """
    results: dict[int, Result | UserError] = {}
    cases = _Cases(work, jobs, names, Boundary(doing, output))
    with tqdm(total=len(jobs), desc=doing, unit="case", disable=None, leave=False) as bar:
        for index, result in _pairs(cases, workers):
            results[index] = result
            bar.update()
    return [results[index] for index in range(len(jobs))]


def together(failures: Sequence[UserError]) -> UserError:
    """Return one error for several: the first in full, the rest logged and counted."""
    first = failures[0]
    if len(failures) == 1:
        return first
    for failure in failures:
        log.error("%s", failure)
    return UserError(first.where, f"{first.problem} (and {len(failures) - 1} more, listed above)", first.hint)


@dataclass(frozen=True)
class _Cases(Generic[Job, Result]):
    """Jobs with their names and the work that is done on each."""

    work: Callable[[Job], Result]
    jobs: Sequence[Job]
    names: Sequence[str]
    boundary: Boundary

    def attempt(self, index: int) -> Result | UserError:
        return self.boundary.attempt(self.names[index], self.work, self.jobs[index])

    def submit(self, index: int, pool: Executor) -> Future[Result | UserError]:
        return pool.submit(self.boundary.attempt, self.names[index], self.work, self.jobs[index])

    def died(self, index: int) -> UserError:
        problem = "its worker process ended (most likely the machine ran out of memory)"
        return UserError(self.names[index], problem, "use fewer --workers")


def _pairs(cases: _Cases[Job, Result], workers: int) -> Iterator[tuple[int, Result | UserError]]:
    count = len(cases.jobs)
    if workers == 1:
        yield from ((index, cases.attempt(index)) for index in range(count))
        return
    started, following = time.monotonic(), 0
    waiting: deque[tuple[int, Future[Result | UserError]]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        while following < count:
            if count - following > FEW and time.monotonic() - started >= PATIENCE:
                break
            waiting.append((following, cases.submit(following, threads)))
            following += 1
            if len(waiting) >= workers:
                index, future = waiting.popleft()
                yield index, future.result()
        yield from ((index, future.result()) for index, future in waiting)
    if following < count:
        yield from _in_processes(cases, range(following, count), workers)


def _in_processes(
    cases: _Cases[Job, Result], indices: Sequence[int], workers: int
) -> Iterator[tuple[int, Result | UserError]]:
    """Run jobs in a pool; where a process dies, the jobs that may have been its own run alone, and the rest goes on."""
    waiting = list(indices)
    while waiting:
        for index, result in _in_pool(cases, waiting, workers):
            waiting.remove(index)
            yield index, result
        suspects, waiting = waiting[: 2 * workers], waiting[2 * workers :]
        survivors = 0
        for index in suspects:
            results = [result for _, result in _in_pool(cases, [index], 1)]
            survivors += len(results)
            yield index, results[0] if results else cases.died(index)
        if suspects and not survivors and not _processes_start():
            yield from ((index, cases.died(index)) for index in waiting)
            return


def _processes_start() -> bool:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(os.getpid).exception() is None


def _in_pool(
    cases: _Cases[Job, Result], indices: Sequence[int], workers: int
) -> Iterator[tuple[int, Result | UserError]]:
    """Yield results until all are there or a process of the pool has died."""
    count = min(workers, len(indices))
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=depend_on_parent)
    try:
        with _ignoring_interrupts():  # inherited by the workers that start here
            waiting = {cases.submit(index, pool): index for index in indices}
        for done in as_completed(waiting):
            index = waiting[done]
            try:
                yield index, done.result()
            except BrokenProcessPool:
                raise
            except Exception as error:  # what cannot be sent from one process to another
                yield index, cases.boundary.line(cases.names[index], error)
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(cancel_futures=True)  # interrupted: jobs under way end, the others never start


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for a moment, so that a worker that is just starting does not die of it aloud."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def depend_on_parent() -> None:
    """Leave Ctrl-C to the parent of this worker, and end when the parent was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
