"""Small files of a data set that its interpolated copy needs: overview.csv, patients.csv, dataset.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import reading, replacing
from autospine.dataset.metadata import read_declaration
from autospine.labels.schemes import LabelScheme

TABLES = ("overview.csv", "patients.csv")
DECLARATION = "dataset.json"


def small_files(scans: Path, masks: Path) -> tuple[Path, ...]:
    """List those that exist: tables of the scans' data set, and the dataset.json of the masks.

    Args:
        scans: A data set, its `images/`, or one scan in there; whatever else has no tables.
        masks: A folder of masks, or one mask. Their dataset.json lies beside or above them: that of the scans may
            mean other integers.
    """
    root, path = _data_set(scans), _full(masks)
    folder = path if path.is_dir() else path.parent
    tables = [] if root is None else [root / name for name in TABLES]
    declared = [home / DECLARATION for home in (folder, folder.parent) if (home / DECLARATION).is_file()]
    return (*(path for path in tables if path.is_file()), *declared[:1])


def scheme_of(files: Sequence[Path]) -> LabelScheme | None:
    """Return what the masks' integers mean, if a dataset.json among the files says."""
    return next((read_declaration(path).scheme for path in files if path.name == DECLARATION), None)


def check_copies(files: Sequence[Path], output: Path) -> None:
    """Check that the files can be copied into a folder without replacing others.

    Raises:
        UserError: The folder has another file of the same name: it belongs to another data set, or is older.
    """
    for path in files:
        target = output / path.name
        if target.exists() and _content(target) != _content(path):
            raise UserError(target, f"differs from {path}", "delete it or choose another output folder")


def copy_files(files: Sequence[Path], output: Path) -> None:
    """Copy those of the files into a folder that it lacks."""
    for path in files:
        if not (output / path.name).exists():
            content = _content(path)
            with replacing(output / path.name) as temporary:
                temporary.write_bytes(content)


def _data_set(scans: Path) -> Path | None:
    """Return the folder that holds `images/` with the scans."""
    path = _full(scans)
    if (path / "images").is_dir():
        return path
    folder = next((folder for folder in (path, path.parent) if folder.name == "images"), None)
    return None if folder is None else folder.parent


def _full(path: Path) -> Path:
    """Return the path with its parents spelt out: a link to a scan stays where it is."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _content(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()
