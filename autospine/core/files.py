"""Files that are either whole or not there: written under a temporary name, synced, renamed.

A temporary name is drawn at random, and its file is locked while its writer lives. So two containers that number their
processes alike do not meet, and what a killed process left is known on any machine: nobody holds it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from autospine.core.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FULL_DISK = {28, 122}  # ENOSPC, EDQUOT
UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # file systems that allocate nothing ahead
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.partial\.")
LONGEST = 40  # letters that a temporary name keeps of the file's, so that it is never too long where that is not
FILE_SUFFIXES = {".nii", ".gz", ".mha", ".mhd", ".nrrd", ".csv", ".json", ".html", ".md", ".png", ".npy", ".txt"}
OLD = 24 * 3600.0  # seconds; without locks (some cluster file systems) a temporary file of that age is abandoned
_swept: set[Path] = set()  # folders that this process has cleared of abandoned files


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
def opened(path: str | Path, missing: str = "check the path") -> Iterator[BinaryIO]:
    """Open a file for reading its bytes; a pipe, which could keep the reader waiting for ever, or a device is refused.

    Raises:
        UserError: It is missing, unreadable or no regular file.
    """
    with reading(path, missing), open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError(path, "is no regular file (a pipe or a device)", "give a file on a disk")
        yield file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


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
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        with _temporary(path) as temporary:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Make a locked file beside `path`, and remove it at the end, if it is still there."""
    while True:
        temporary = path.with_name(f".{secrets.token_hex(8)}.partial.{path.name[-LONGEST:]}")
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        locked = _lock(file)
        if locked is None:
            os.close(file)  # Windows renames no open file
        try:
            if locked is None or (locked and os.fstat(file).st_nlink):  # else another process has just swept it
                yield temporary
                return
        finally:
            if locked is not None:
                os.close(file)
            with suppress(OSError):  # a read-only disk refuses even to remove what is not there
                temporary.unlink()


def _lock(file: int) -> bool | None:
    """Lock an open file until it is closed: False where another process holds it, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically; what UTF-8 cannot say, as a name in Latin-1, is written as an escape."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


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
    if Path(folder).suffix.lower() in FILE_SUFFIXES and not Path(folder).exists():
        raise UserError(folder, "has the name of a file", "give a folder")
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with _temporary(Path(folder) / "probe") as probe:
            probe.write_text("probe")
    _sweep_once(Path(folder))


def remove(path: str | Path) -> None:
    """Remove a file, if it exists.

    Raises:
        UserError: It cannot be removed.
    """
    with writing(path):
        Path(path).unlink(missing_ok=True)


def _sweep_once(folder: Path) -> None:
    """Remove what killed processes left in a folder, when this process first writes there."""
    if folder in _swept:
        return
    _swept.add(folder)
    remove_abandoned(folder)


def remove_abandoned(folder: str | Path) -> None:
    """Remove the temporary files that nobody writes any more from a folder."""
    with suppress(OSError):  # another process may sweep as well; a folder that cannot be read is not our matter
        for path in Path(folder).iterdir():
            if TEMPORARY.match(path.name) and _abandoned(path):
                path.unlink(missing_ok=True)


def _abandoned(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:  # gone meanwhile, or another user's
        return False
    try:
        locked = _lock(file)
        return time.time() - os.fstat(file).st_mtime > OLD if locked is None else locked
    finally:
        os.close(file)


class _GivenTwiceError(Exception):
    pass


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's keys and values, where JSON itself would keep the last of equal keys without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _GivenTwiceError(repr(next(key for key in keys if keys.count(key) > 1)))
    return content


def read_json(path: str | Path, hint: str = "run the command that made it again") -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing, unreadable, not JSON, or gives a key twice.
    """
    with opened(path, hint) as file:
        content = file.read()
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_each_once)
    except _GivenTwiceError as error:
        raise UserError(path, f"gives the key {error} twice", "keep one of them") from error
    except RecursionError as error:
        raise UserError(path, "is not valid JSON (nested too deeply)", hint) from error
    except ValueError as error:
        raise UserError(path, f"is not valid JSON ({error})", hint) from error
