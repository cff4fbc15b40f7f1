"""Writing volumes onto the grid that they came from.

The files are put together in memory and written by Python: a full disk is then an error (SimpleITK's NIfTI
writer reports success), and numbers in the headers keep every digit.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import replacing
from autospine.volumes import nifti
from autospine.volumes.folders import volume_suffix
from autospine.volumes.geometry import Geometry
from autospine.volumes.metaimage import TYPES
from autospine.volumes.volume import Volume

COMPRESSION = 5  # of 9, as SimpleITK's default


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write a volume onto its own file's grid: size, spacing, origin and directions as they were.

    Whole numbers are stored in the smallest type that holds them, floating-point numbers as float32
    (float64 stays). Nothing of the original file but its grid is copied.

    Args:
        volume: What to write.
        path: A .mha, .nii, .nii.gz or .nrrd file; all but .nii are compressed.

    Raises:
        UserError: The suffix is none of these, the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    array = volume.in_file_order()  # (i, j, k)
    if volume.negative is not None:
        array = np.where(array == volume.negative[1], volume.negative[0], array.astype(np.int64))
    array = smallest_type(array)
    suffix = volume_suffix(path)
    if suffix == ".mha":
        content = encode_metaimage(array, volume.geometry)
    elif suffix == ".nrrd":
        content = encode_nrrd(array, volume.geometry)
    elif suffix == ".nii":
        content = nifti.encode(array, volume.geometry)
    elif suffix == ".nii.gz":
        content = _gzip(nifti.encode(array, volume.geometry))
    else:
        raise UserError(path, "has no suffix that can be written", "give .mha, .nii, .nii.gz or .nrrd")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def smallest_type(array: np.ndarray) -> np.ndarray:
    """Return the values in the smallest type that holds them, little-endian."""
    if array.dtype.kind == "f":
        return array.astype("<f8" if array.dtype.itemsize == 8 else "<f4", copy=False)
    if array.dtype.kind == "b":
        return array.astype("u1")
    lowest, highest = int(array.min()), int(array.max())
    for kind in ("u1", "<u2", "<i2", "<i4", "<u4", "<i8"):
        limits = np.iinfo(kind)
        if limits.min <= lowest and highest <= limits.max:
            return array.astype(kind, copy=False)
    raise ValueError(f"values from {lowest} to {highest} fit no type")


def encode_metaimage(array: np.ndarray, geometry: Geometry) -> bytes:
    """Write a compressed .mha file into memory; values in file order."""
    data = zlib.compress(array.tobytes(order="F"), COMPRESSION)
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    lines = (
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(data)}",
        f"TransformMatrix = {_digits(geometry.directions().T.ravel())}",  # column by column
        f"Offset = {_digits(geometry.origin)}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_digits(geometry.spacing)}",
        f"DimSize = {' '.join(str(n) for n in geometry.size)}",
        f"ElementType = {next(name for name, known in TYPES.items() if known == code)}",
        "ElementDataFile = LOCAL",
    )
    return "\n".join(lines).encode() + b"\n" + data


def encode_nrrd(array: np.ndarray, geometry: Geometry) -> bytes:
    """Write a compressed .nrrd file into memory; values in file order."""
    names = {"u": "uint", "i": "int"}
    bits = 8 * array.dtype.itemsize
    columns = geometry.affine()[:3, :3].T  # (3, 3): row f is file axis f in mm
    lines = (
        "NRRD0004",
        f"type: {names[array.dtype.kind] + str(bits) if array.dtype.kind in names else _float(bits)}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in geometry.size)}",
        f"space directions: {' '.join('(' + _digits(column, ',') + ')' for column in columns)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({_digits(geometry.origin, ',')})",
    )
    return "\n".join(lines).encode() + b"\n\n" + _gzip(array.tobytes(order="F"))


def _float(bits: int) -> str:
    return "double" if bits == 64 else "float"


def _digits(numbers: np.ndarray | tuple[float, ...], separator: str = " ") -> str:
    return separator.join(repr(float(number)) for number in numbers)


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, COMPRESSION, mtime=0)
