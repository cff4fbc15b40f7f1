"""What a volume's header says, checked before any voxel is read or memory taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.volumes.folders import volume_suffix
from autospine.volumes.geometry import Geometry

MAGIC = ((b"ObjectType", ".mha"), (b"NRRD", ".nrrd"), (b"\x1f\x8b", ".nii.gz"))
MOST_BYTES = 2**30  # of voxels in one file, as stored


@dataclass(frozen=True)
class StoredVolume:
    """A volume's header.

    Attributes:
        geometry: The file's own grid.
        dtype: Type of the values that `pixels` gives; None where only the pixels tell.
        pixels: Reads the values in file order, shape `geometry.size`; raises UserError on damage.
        remarks: What a user should know about the grid.
    """

    geometry: Geometry
    dtype: np.dtype | None
    pixels: Callable[[], np.ndarray]
    remarks: tuple[str, ...] = ()


def check_shape(path: Path, shape: Sequence[int], components: int = 1) -> tuple[int, int, int]:
    """Return the three axes of a volume's shape; refuse colour, pictures, and more than one volume in a file."""
    if components > 1:
        raise UserError(path, f"holds {components} values per voxel", "give a scan with one value per voxel")
    if len(shape) < 3:
        raise UserError(path, f"holds a picture of {len(shape)} axes", "give a 3-D volume")
    count = math.prod(int(length) for length in shape[3:])
    if count != 1:
        raise UserError(path, f"holds {count} volumes ({len(shape)} axes)", "split it into 3-D files")
    return int(shape[0]), int(shape[1]), int(shape[2])


def check_grid(path: Path, geometry: Geometry, dtype: np.dtype | None = None) -> Geometry:
    """Return the grid; raise a `UserError` where no scan can have it, or its voxels take more than `MOST_BYTES`."""
    problem = geometry.problem()
    if problem:
        raise UserError(path, f"states an impossible grid: {problem}", "correct the header or export it again")
    stated = math.prod(geometry.size) * (dtype.itemsize if dtype is not None else 1)
    if stated > MOST_BYTES:
        problem = f"states {stated / 2**30:.3g} GiB of voxels, more than {MOST_BYTES / 2**30:g} GiB"
        raise UserError(path, problem, "crop it to the spine, or store whole numbers")
    return geometry


def damaged_file(path: Path) -> UserError:
    """Return the error of a file that cannot be read, with its true format if the first bytes tell another."""
    suffix = volume_suffix(path) or path.suffix
    try:
        with path.open("rb") as file:
            start = file.read(348)
    except OSError:
        start = b""
    true = next((ending for magic, ending in MAGIC if start.startswith(magic)), None)
    if start[344:347] in (b"n+1", b"n+2"):
        true = ".nii"
    same = true == suffix or {true, suffix} == {".mha", ".mhd"} or true is None
    if same:
        return UserError(path, f"is not a readable {suffix} file (truncated or damaged)", "copy it again")
    return UserError(path, f"is not a {suffix} file; its content looks like {true}", "rename it")
