"""The same work on many cases, in processes, so that one failure names its case and spares the others."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

from tqdm import tqdm

from autospine.core.errors import UserError

log = logging.getLogger(__name__)
Job = TypeVar("Job")
Result = TypeVar("Result")
FEW = 3  # jobs that are not worth the start of other processes
PATIENCE = 1.5  # seconds of work before other processes are started, which takes about as long


def run_cases(
    work: Callable[[Job], Result], jobs: Sequence[Job], names: Sequence[str], doing: str, workers: int
) -> list[Result]:
    """Run `work` on every job as `try_cases` does, and return its results in the jobs' order.

    Raises:
        UserError: After all jobs have had their turn: the first failure, and how many more there are.
    """
    answers = try_cases(work, jobs, names, doing, workers)
    failures = [answer for answer in answers if isinstance(answer, UserError)]
    if failures:
        raise together(failures)
    return [answer for answer in answers if not isinstance(answer, UserError)]


def try_cases(
    work: Callable[[Job], Result], jobs: Sequence[Job], names: Sequence[str], doing: str, workers: int
) -> list[Result | UserError]:
    """Run `work` on every job: the first ones in threads, and when that takes long, the rest in processes.

    Args:
        work: A module-level function.
        jobs: What it gets.
        names: A case's name for each job.
        doing: Label of the progress bar.
        workers: Threads or processes at once.

    Returns:
        Results in the jobs' order; of a job that failed, its error.
    """
    answers: dict[int, Result | UserError] = {}
    with tqdm(total=len(jobs), desc=doing, unit="case", disable=None, leave=False) as bar:
        for index, answer in _pairs(work, jobs, names, workers):
            answers[index] = answer
            bar.update()
    return [answers[index] for index in range(len(jobs))]


def together(failures: Sequence[UserError]) -> UserError:
    """Return one error for several: the first in full, the rest logged and counted."""
    first = failures[0]
    if len(failures) == 1:
        return first
    for failure in failures:
        log.error("%s", failure)
    return UserError(first.where, f"{first.problem} (and {len(failures) - 1} more, listed above)", first.hint)


def _attempt(work: Callable[[Job], Result], job: Job) -> Result | UserError:
    try:
        return work(job)
    except UserError as error:
        return error


def _pairs(
    work: Callable[[Job], Result], jobs: Sequence[Job], names: Sequence[str], workers: int
) -> Iterator[tuple[int, Result | UserError]]:
    if workers == 1:
        yield from ((index, _attempt(work, job)) for index, job in enumerate(jobs))
        return
    started, following = time.monotonic(), 0
    waiting: deque[tuple[int, Future[Result | UserError]]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        while following < len(jobs):
            if len(jobs) - following > FEW and time.monotonic() - started >= PATIENCE:
                break
            waiting.append((following, threads.submit(_attempt, work, jobs[following])))
            following += 1
            if len(waiting) >= workers:
                index, answer = waiting.popleft()
                yield index, answer.result()
        yield from ((index, answer.result()) for index, answer in waiting)
    if following < len(jobs):
        rest = _in_pool(work, jobs[following:], names[following:], workers)
        yield from ((following + k, answer) for k, answer in rest)


def _in_pool(
    work: Callable[[Job], Result], jobs: Sequence[Job], names: Sequence[str], workers: int
) -> Iterator[tuple[int, Result | UserError]]:
    count = min(workers, len(jobs))
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=depend_on_parent)
    try:
        with _ignoring_interrupts():  # inherited by the workers that start here
            waiting = {pool.submit(_attempt, work, job): index for index, job in enumerate(jobs)}
        for done in as_completed(waiting):
            index = waiting[done]
            try:
                yield index, done.result()
            except BrokenProcessPool as error:
                raise UserError(
                    names[index],
                    "its worker process ended (most likely the machine ran out of memory)",
                    "use fewer --workers",
                ) from error
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
