"""Files that are either whole or not there: written under a temporary name, synced, renamed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autospine.core.errors import UserError

FULL_DISK = {28, 122}  # ENOSPC, EDQUOT
UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # file systems that allocate nothing ahead


@contextmanager
def reading(path: str | Path, missing: str = "check the path") -> Iterator[None]:
    """Turn a failed read into the line that a user can act on; `missing` is the hint where nothing is there."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(path, "does not exist", missing) from error
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn a failed write into the line that a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise UserError(path, "the disk is full", "free some space and run the command again") from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise UserError(path, "cannot be written (no permission)", "choose another output folder") from error
        raise UserError(path, f"cannot be written ({error.strerror or error})", "check the folder") from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with its suffixes, and rename it to `path` on success.

    Raises:
        UserError: The disk is full, or the folder cannot be written. Nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # a read-only disk refuses even to remove what is not there
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, indented; NaN is refused."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_with(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, and rename it to `path`."""
    with replacing(path) as temporary:
        write(temporary)


def allocate(path: str | Path) -> None:
    """Reserve a file's blocks on the disk before it is mapped: a full disk would end the process then, not raise.

    Raises:
        OSError: The disk is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with open(path, "rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        except OSError as error:
            if error.errno not in UNABLE:
                raise


def make_folder(folder: str | Path) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: It cannot be made.
    """
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)


def check_writable(folder: str | Path) -> None:
    """Make a folder and check that a file can be written there, before long work.

    Raises:
        UserError: It cannot.
    """
    if Path(folder).is_file():
        raise UserError(folder, "is a file", "give a folder")
    probe = Path(folder) / f".{os.getpid()}.probe"
    write_text(probe, "probe")
    remove(probe)


def remove(path: str | Path) -> None:
    """Remove a file, if it exists.

    Raises:
        UserError: It cannot be removed.
    """
    with writing(path):
        Path(path).unlink(missing_ok=True)


def remove_abandoned(folder: str | Path) -> None:
    """Remove the temporary files that a killed process left in a folder."""
    for path in Path(folder).glob(".*.partial.*"):
        process = path.name.split(".")[1]
        if process.isdecimal() and not _runs(int(process)):
            remove(path)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def read_json(path: str | Path, hint: str = "run the command that made it again") -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing, unreadable or not JSON.
    """
    try:
        with reading(path, hint):
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(path, f"is not valid JSON ({error})", hint) from error
