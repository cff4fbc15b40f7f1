"""Which files are volumes, what they are called, and the volumes of a folder in a fixed order."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import reading

log = logging.getLogger(__name__)
SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
KNOWN = ".mha, .mhd, .nii, .nii.gz or .nrrd"


def volume_suffix(path: str | Path) -> str | None:
    """Return the suffix that tells a volume's format, in lower case, or None."""
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def volume_id(path: str | Path) -> str:
    """Return a volume's name without its suffix: "1_t2.nii.gz" gives "1_t2". A folder keeps its name."""
    path = Path(path)
    suffix = volume_suffix(path)
    return path.name[: -len(suffix)] if suffix else path.name


def written_name(path: Path) -> str:
    """Return the file name of what is made from a volume: for a header or a DICOM folder, one file as well."""
    suffix = None if path.is_dir() else volume_suffix(path)
    return volume_id(path) + {".mhd": ".mha", None: ".nii.gz"}.get(suffix, suffix or "")


def names_file(output: Path) -> bool:
    """Return whether an output is one volume's file and not a folder.

    Raises:
        UserError: It is, with a suffix that cannot be written.
    """
    suffix = None if output.is_dir() else volume_suffix(output)
    if suffix == ".mhd":
        raise UserError(output, "would be two files", "give .mha, .nii, .nii.gz or .nrrd, or a folder")
    return suffix is not None


def output_paths(output: Path, names: Sequence[str]) -> list[Path]:
    """Return where volumes of these names go: into a folder, or one of them to a file.

    Raises:
        UserError: The output is one file for several volumes.
    """
    if not names_file(output):
        return [output / name for name in names]
    if len(names) > 1:
        raise UserError(output, f"is one file for {len(names)} volumes", "give a folder")
    return [output]


def check_table(path: Path | None) -> None:
    """Check that the path of a table, if one is asked for, does not name a volume.

    Raises:
        UserError: It does.
    """
    if path is not None and volume_suffix(path):
        raise UserError(path, "is the name of a volume", "give a .csv file")


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts 2_t2 before 10_t2."""
    parts = re.split(r"([0-9]+)", volume_id(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], path.name


def is_dicom_file(path: Path) -> bool:
    """Return whether a file starts as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def holds_dicom(folder: Path) -> bool:
    """Return whether a folder itself holds at least one DICOM file.

    One that cannot be opened is taken for a series: reading it tells what is wrong with it, and spares the others.
    """
    try:
        return any(is_dicom_file(path) for path in sorted(folder.iterdir()) if path.is_file())
    except OSError:
        return True


def find_volumes(folder: str | Path) -> list[Path]:
    """List the volumes of a folder in natural order.

    Args:
        folder: A folder of volume files or of DICOM folders, or a DICOM folder (the list is then just
            that), or one file.

    Raises:
        UserError: The folder does not exist or holds no volumes, or two volumes have the same id.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise UserError(folder, "does not exist", "check the path")
    with reading(folder):
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
        # A dangling link or a pipe that is called like a volume counts: reading it tells what is wrong with it.
        files = [path for path in entries if volume_suffix(path) and not path.is_dir()]
        series = [path for path in entries if path.is_dir() and holds_dicom(path)]
        if not files and holds_dicom(folder):
            return [folder]
        for path in sorted(set(entries) - {*files, *series}):
            _tell_left_out(path)
    volumes = sorted([*files, *series], key=natural_key)
    if not volumes:
        raise UserError(folder, "holds no volumes", f"put {KNOWN} files or DICOM folders there")
    _check_ids(folder, volumes)
    return volumes


def _tell_left_out(path: Path) -> None:
    """Warn of an entry that might have been meant as a series: an empty folder, or a link to nothing."""
    if path.is_dir() and not any(path.iterdir()):
        log.warning("%s: is an empty folder; left out", path)
    elif path.is_symlink() and not path.exists():
        log.warning("%s: is a link to nothing; left out", path)


def _check_ids(folder: Path, volumes: list[Path]) -> None:
    by_id: dict[str, Path] = {}
    for path in volumes:
        twin = by_id.setdefault(volume_id(path), path)
        if twin is not path:
            problem = f"holds {twin.name} and {path.name}, which have the same id {volume_id(path)!r}"
            raise UserError(folder, problem, "keep one of them")
