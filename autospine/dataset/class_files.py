"""Masks with one file per class in a folder per case, as TotalSegmentator writes them, read as one mask.

The files' names tell the labels: `vertebrae_L5.nii.gz`, `sacrum.nii.gz`, ... Organs are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.tables import counted
from autospine.labels.label_table import CLASS_FILES, LEVELS, SPINE_CLASSES
from autospine.labels.schemes import LabelScheme
from autospine.volumes import Volume, read_mask, volume_id
from autospine.volumes.folders import volume_suffix

log = logging.getLogger(__name__)
INNER = "segmentations"  # folder of the files in a case's folder, as in TotalSegmentator's own data set


def class_files(folder: Path) -> dict[str, Path]:
    """Return the mask files of a folder that are named like classes of the spine, by class; else nothing."""
    if not folder.is_dir():
        return {}
    files = {volume_id(path): path for path in sorted(folder.iterdir()) if volume_suffix(path)}
    return {name: files[name] for name in SPINE_CLASSES if name in files}


def class_folders(folder: Path) -> dict[str, Path]:
    """Return the folders with one file per class that a folder of cases holds, by case; name the files they lack."""
    cases = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    inner = {path.name: path / INNER if (path / INNER).is_dir() else path for path in cases}
    classes = {path: set(files) for path in inner.values() if (files := class_files(path))}
    everywhere = set().union(*classes.values())
    for path, names in classes.items():
        missing = [name for name in SPINE_CLASSES if name in everywhere | set(_between(names)) and name not in names]
        if missing:
            log.warning("%s: has no file of %s; taken for empty", path, ", ".join(missing))
    return {name: path for name, path in inner.items() if path in classes}


def _between(names: Iterable[str]) -> tuple[str, ...]:
    """Return the levels from the lowest to the highest of some classes."""
    shown = sorted(LEVELS.index(name) for name in names if name in LEVELS)
    return LEVELS[shown[0] : shown[-1]] if shown else ()


def class_scheme(mask: Path, option: str | None = None) -> LabelScheme | None:
    """Return the scheme of a folder with one file per class; None for other masks.

    Args:
        mask: A mask.
        option: One that names another scheme; a line says that it is not used.
    """
    if not class_files(mask):
        return None
    if option is not None:
        log.warning("%s: the names of its files tell its labels, %s is not used", mask, option)
    return CLASS_FILES


def read_labels(path: Path, negative: tuple[int, int] | None = None) -> Volume:
    """Read a mask: a file, a DICOM folder, or a folder with one file per class, whose labels are `CLASS_FILES`.

    Args:
        path: The file or folder.
        negative: See `volumes.read_mask`.

    Raises:
        UserError: It cannot be read, or the files of a folder lie on different grids.
    """
    files = class_files(path)
    return _merged(path, files) if files else read_mask(path, negative)


def _merged(folder: Path, files: Mapping[str, Path]) -> Volume:
    """Return one mask of all classes; where two overlap, the first of `SPINE_CLASSES` counts, which a line says."""
    first: Volume | None = None
    for name, path in files.items():
        volume = read_mask(path)
        shown, value = volume.array != 0, SPINE_CLASSES.index(name) + 1
        if first is None:
            first, merged = volume, np.zeros(volume.array.shape, np.uint8)
        difference = volume.grid_difference(first)
        if difference:
            raise UserError(path, f"lies on another grid than {first.path}: {difference}", "export the case again")
        taken = shown & (merged != 0)
        for other in np.unique(merged[taken]):
            voxels = counted(int((merged[taken] == other).sum()), "voxel")
            log.warning("%s: %s in %s as well, which counts", path, voxels, SPINE_CLASSES[other - 1])
        merged[shown & ~taken] = value
    if first is None:
        raise UserError(folder, "holds no file of a class", "name the files like vertebrae_L5.nii.gz")
    return replace(first, array=merged, path=folder)
