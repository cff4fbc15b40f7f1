"""Locks between processes: the operating system frees one as soon as its process ends, however it ends."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from autospine.core.errors import UserError
from autospine.core.files import make_folder, remove, write_text, writing

log = logging.getLogger(__name__)

LOCK, HOLDER = ".lock", ".lock_holder"  # in the folder; the first stays, so that all lock the same file


@contextmanager
def locked(folder: Path, doing: str, wait: bool) -> Iterator[None]:
    """Lock a folder, which is made where it is missing, so that only this process works there.

    Args:
        folder: The folder.
        doing: What this process does there, such as "trains this fold", for the others to read.
        wait: Wait until another process has ended its work, with a line in the log; else it is an error.

    Raises:
        UserError: Another process works there and `wait` is False, or the folder cannot be written.
    """
    make_folder(folder)
    lock = FileLock(folder / LOCK)
    with writing(folder / LOCK):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            holder = _holder(folder)
            if not wait:
                raise UserError(folder, f"is in use: {holder}", "wait until it has ended, or end it") from error
            log.info("%s: %s; waiting until it has ended", folder, holder)
            lock.acquire()
    try:
        write_text(folder / HOLDER, f"process {os.getpid()} on {platform.node()} {doing}")
        yield
    finally:
        remove(folder / HOLDER)
        lock.release()


def _holder(folder: Path) -> str:
    """Return which process holds the lock, as it wrote."""
    with suppress(OSError, UnicodeDecodeError):  # not written yet, or removed just now
        return (folder / HOLDER).read_text(encoding="utf-8")
    return "another process works there"
