"""Reading scans and masks: a right canonical volume, or one line that names the file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import opened
from autospine.volumes import dicom, metaimage, nifti, nrrd
from autospine.volumes.folders import KNOWN, volume_suffix
from autospine.volumes.geometry import Geometry
from autospine.volumes.stored import StoredVolume, damaged_file
from autospine.volumes.volume import Volume

logger = logging.getLogger(__name__)
HEADERS = {
    ".mha": metaimage.header,
    ".mhd": metaimage.header,
    ".nii": nifti.header,
    ".nii.gz": nifti.header,
    ".nrrd": nrrd.header,
}


def read_header(path: str | Path) -> Geometry:
    """Read the grid of a file or DICOM folder, without pixels.

    Raises:
        UserError: It does not exist, is not readable, or is not one scalar volume.
    """
    return _stored(_existing(path)).geometry


def read_image(path: str | Path) -> Volume:
    """Read a scan as float32.

    Some voxels that are NaN or infinite are read as the smallest finite value, with a warning.

    Args:
        path: A .mha, .mhd, .nii, .nii.gz or .nrrd file, or a folder with one DICOM series.

    Raises:
        UserError: It does not exist, is truncated, is not one scalar volume, or has no finite voxel.
    """
    path = _existing(path)
    with _enough_memory(path):
        array, geometry = _values(path)
        volume = Volume.from_file_order(array, geometry, path, np.float32)
        if array.dtype.kind == "f":
            _replace_not_finite(path, array, volume.array)
    return volume


def read_mask(path: str | Path, negative: tuple[int, int] | None = None) -> Volume:
    """Read a mask as uint8, uint16 or int32, the smallest that holds its labels.

    Args:
        path: As for `read_image`.
        negative: The negative integer that is declared the ignore label, and the label that it is read as;
            `write_volume` writes it as it was.

    Raises:
        UserError: As for `read_image`, or a voxel is NaN, not a whole number, or negative without being declared.
    """
    path = _existing(path)
    with _enough_memory(path):
        array, geometry = _values(path)
        if array.dtype.kind == "f":
            _check_whole(path, array)
        highest = array.max()
        if highest > np.iinfo(np.int32).max:
            raise UserError(path, f"holds labels up to {highest:g}", "number the labels below 2147483648")
        if array.min() >= 0:
            return Volume.from_file_order(array, geometry, path, _label_type(int(highest)))
        if negative is not None:
            _check_is_free(path, array, negative)
            array, highest = np.where(array == negative[0], negative[1], array), max(highest, negative[1])
        _check_not_negative(path, array)
        volume = Volume.from_file_order(array, geometry, path, _label_type(int(highest)))
        return replace(volume, negative=negative)


def stored_as_float(path: str | Path) -> bool:
    """Return whether a file's voxels are floating-point numbers; of a DICOM folder, False.

    Raises:
        UserError: As for `read_header`.
    """
    dtype = _stored(_existing(path)).dtype
    return dtype is not None and dtype.kind == "f"


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if "\0" in str(path) or not os.path.lexists(path):
        raise UserError(path, "does not exist", "check the path")
    if path.is_dir():
        return path
    if volume_suffix(path) is None:
        raise UserError(path, "has no suffix of a volume", f"give a {KNOWN} file or a DICOM folder")
    with opened(path) as file:
        empty = not file.read(1)
    if empty:
        raise UserError(path, "is empty", "copy or export it again")
    return path


def _stored(path: Path) -> StoredVolume:
    """Read a header; whatever a damaged one makes a library raise is one line."""
    try:
        if path.is_dir():
            return dicom.header(path)
        return HEADERS[str(volume_suffix(path))](path)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise damaged_file(path) from error


def _values(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read values in file order and their grid, and log what is doubtful about it."""
    stored = _stored(path)
    for remark in stored.remarks:
        logger.warning("%s: %s", path, remark)
    array = stored.pixels()
    if array.dtype.kind not in "iuf":
        raise UserError(path, f"holds voxels of type {array.dtype}", "give real numbers, one per voxel")
    return array, stored.geometry


@contextmanager
def _enough_memory(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise UserError(path, "does not fit into the free memory", "close other programs, or crop it") from error


def _replace_not_finite(path: Path, array: np.ndarray, canonical: np.ndarray) -> None:
    """Replace NaN and infinities in place, or refuses them.

    Args:
        path: The file to name.
        array: Values as the file has them.
        canonical: The same voxels as float32, in canonical order; changed in place.
    """
    if np.isfinite(canonical.min()) and np.isfinite(canonical.max()):  # both carry NaN on
        return
    finite = np.isfinite(canonical)
    count = int(canonical.size - finite.sum())
    if count > int(array.size - np.isfinite(array).sum()):
        raise UserError(path, "holds values beyond 3e38", "rescale its intensities")
    if count == canonical.size:
        raise UserError(path, "holds no finite voxel (NaN or infinite)", "export it again")
    lowest = canonical[finite].min()
    canonical[~finite] = lowest
    logger.warning("%s: %d voxels are NaN or infinite; read as %g, the smallest of the others", path, count, lowest)


def _check_whole(path: Path, array: np.ndarray) -> None:
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        count = int(array.size - np.isfinite(array).sum())
        raise UserError(path, f"holds {count} voxels that are NaN or infinite", "a mask holds whole numbers")
    fractions = int((array != np.rint(array)).sum())
    if fractions:
        problem = f"holds {fractions} voxels that are no whole numbers"
        raise UserError(path, problem, "give a mask of labels, resampled with nearest neighbour if at all")


def _check_is_free(path: Path, array: np.ndarray, negative: tuple[int, int]) -> None:
    if (array == negative[1]).any():
        problem = f"holds both {negative[0]}, its ignore label, and {negative[1]}, which that is read as"
        raise UserError(path, problem, f"store another integer than {negative[1]}")


def _check_not_negative(path: Path, array: np.ndarray) -> None:
    """Refuse negative labels: an integer is never wrapped, and -1 usually means "not annotated" (nnU-Net)."""
    below = array[array < 0]
    if below.size:
        value = int(below.max())
        problem = f"holds the negative label {value} ({int((below == value).sum())} voxels)"
        declare = f'"ignore_label": {value} in dataset.json'
        raise UserError(path, problem, f"number the labels from 0, or, if nobody annotated there, declare {declare}")


def _label_type(highest: int) -> type[np.generic]:
    if highest <= np.iinfo(np.uint8).max:
        return np.uint8
    return np.uint16 if highest <= np.iinfo(np.uint16).max else np.int32
