"""SimpleITK as a reader: headers, pixels, silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.volumes.geometry import Geometry, triple

MAGIC = ((b"ObjectType", ".mha"), (b"NRRD", ".nrrd"), (b"\x1f\x8b", ".nii.gz"))


def simpleitk() -> Any:
    """Load SimpleITK, which has no types, when first needed."""
    import SimpleITK

    return SimpleITK


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's warnings off stderr; those that matter are found and logged by this package."""
    sitk = simpleitk()
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def header(path: Path) -> Geometry:
    """Read a file's grid, without its pixels.

    Raises:
        UserError: The file is not readable, not one scalar volume, or its grid is impossible.
    """
    reader = simpleitk().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise damaged_file(path) from error
    size = reader.GetSize()
    check_shape(path, size, reader.GetNumberOfComponents())
    dimension = len(size)
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    geometry = Geometry(
        (size[0], size[1], size[2]),
        triple(reader.GetSpacing()[:3]),
        triple(reader.GetOrigin()[:3]),
        tuple(float(x) for x in direction.ravel()),
    )
    return check_grid(path, geometry)


def pixels(path: Path, geometry: Geometry) -> np.ndarray:
    """Read the values in file order, shape `geometry.size`.

    Raises:
        UserError: The file is truncated or damaged.
    """
    sitk = simpleitk()
    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise damaged_file(path) from error
    return sitk.GetArrayFromImage(image).T.reshape(geometry.size)


def check_shape(path: Path, shape: Sequence[int], components: int = 1) -> None:
    """Refuse colour and vector volumes, pictures, and more than one volume in a file."""
    if components > 1:
        raise UserError(path, f"holds {components} values per voxel", "give a scan with one value per voxel")
    if len(shape) < 3:
        raise UserError(path, f"holds a picture of {len(shape)} axes", "give a 3-D volume")
    count = int(np.prod(shape[3:], dtype=np.int64))
    if count != 1:
        raise UserError(path, f"holds {count} volumes ({len(shape)} axes)", "split it into 3-D files")


def check_grid(path: Path, geometry: Geometry) -> Geometry:
    """Return the grid if a scan can have it."""
    problem = geometry.problem()
    if problem:
        raise UserError(path, f"states an impossible grid: {problem}", "correct the header or export it again")
    return geometry


def damaged_file(path: Path) -> UserError:
    """Return the error of a file that cannot be read, with its true format if the first bytes tell another."""
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".nii.gz") else path.suffix
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
