"""No command writes onto what it reads: files are compared by device and inode, so links and case-folding are seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autospine.core.errors import UserError

HINT = "choose another output"
Identity = tuple[int, int]  # device and inode


def check_folders(folders: Iterable[Path], inputs: Sequence[Path]) -> None:
    """Check that what is written into folders does not land among the inputs.

    Args:
        folders: Where a command writes; they need not exist yet.
        inputs: Files, and folders that are read as one, such as a DICOM series.

    Raises:
        UserError: A folder holds an input, itself or behind a link, or lies in an input.
    """
    read = _identities(inputs)
    files = [path for path in inputs if not path.is_dir()]
    holding = _identities(parent for path in files for parent in (path.parent, _full(path).parent))
    for folder in folders:
        if _identity(folder) in holding:
            raise UserError(folder, "holds files of the input", HINT)
        if _lies_in(folder, read):
            raise UserError(folder, "lies in a series that is read", HINT)


def check_files(files: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Check that files can be written without replacing an input, or one another.

    Raises:
        UserError: One of them is an input, lies in one that is a folder, or is named twice.
    """
    read, named = _identities(inputs), set()
    for file in files:
        if _identity(file) in read or _lies_in(file, read):
            raise UserError(file, "would be written over an input", HINT)
        if _full(file) in named:
            raise UserError(file, "would be written twice", HINT)
        named.add(_full(file))


def _lies_in(path: Path, read: set[Identity]) -> bool:
    return any(_identity(parent) in read for parent in (path, *_full(path).parents))


def _full(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links that lead to one another
        return path.absolute()


def _identities(paths: Iterable[Path]) -> set[Identity]:
    return {identity for identity in map(_identity, paths) if identity is not None}


def _identity(path: Path) -> Identity | None:
    """Return what names a file whatever its path; None where there is nothing yet."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
