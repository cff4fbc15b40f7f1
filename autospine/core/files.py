"""Files that are either whole or not there: written beside their place, synced, renamed."""

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


def writing_error(path: str | Path, error: OSError) -> UserError:
    """Turns a failed write into the line that a user can act on."""
    if error.errno in FULL_DISK:
        return UserError(path, "the disk is full", "free some space and run the command again")
    if isinstance(error, PermissionError) or error.errno == 30:
        return UserError(path, "cannot be written (no permission)", "choose another output folder")
    return UserError(path, f"cannot be written ({error.strerror or error})", "check the folder")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` with its suffixes, and renames it there on success.

    Raises:
        UserError: The disk is full, or the folder cannot be written. Nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise writing_error(path, error) from error
    finally:
        with suppress(OSError):  # a read-only disk refuses even to remove what is not there
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON atomically, indented, NaN refused."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_with(path: str | Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file that then takes the place of `path`."""
    with replacing(path) as temporary:
        write(temporary)


def allocate(path: str | Path) -> None:
    """Takes a file's blocks from the disk before it is mapped: a full disk would end the process then, not raise.

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


def check_writable(folder: str | Path) -> None:
    """Makes a folder and sees whether a file can be put there, before long work.

    Raises:
        UserError: It cannot.
    """
    if Path(folder).is_file():
        raise UserError(folder, "is a file", "give a folder")
    probe = Path(folder) / f".{os.getpid()}.probe"
    write_text(probe, "probe")
    remove(probe)


def remove(path: str | Path) -> None:
    """Removes a file if it is there.

    Raises:
        UserError: It cannot be removed.
    """
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise writing_error(path, error) from error


def remove_abandoned(folder: str | Path) -> None:
    """Removes the temporary files that a killed process left in a folder."""
    for path in Path(folder).glob(".*.partial.*"):
        owner = path.name.split(".")[1]
        if owner.isdecimal() and not _runs(int(owner)):
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
    """Reads JSON.

    Raises:
        UserError: The file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(path, "does not exist", hint) from error
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except ValueError as error:
        raise UserError(path, f"is not valid JSON ({error})", hint) from error
