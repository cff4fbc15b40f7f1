"""MetaImage pixels (.mha, .mhd), read without SimpleITK, which passes damaged data on with a shrug.

Format: https://itk.org/Wiki/MetaIO/Documentation
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import reading
from autospine.volumes import itk
from autospine.volumes.geometry import Geometry

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
REQUIRED = ("NDims", "DimSize", "ElementType", "ElementDataFile")
NUMBERS = ("DimSize", "ElementSpacing", "Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation")
HEADER_BYTES = 65536  # a header, comments included, is far shorter
# Rare keys that change what the bytes mean are left to SimpleITK.
RARE = {"HeaderSize", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"}


def header(path: Path) -> Geometry:
    """Read the grid without the pixels; what SimpleITK would complain about on stderr is found before.

    Raises:
        UserError: The file is not readable, not one scalar volume, or its grid is impossible.
    """
    with path.open("rb") as file:
        keys, _ = parse(file.read(HEADER_BYTES))
    if any(not keys.get(key) for key in REQUIRED) or not all(map(_finite, (keys.get(key) for key in NUMBERS))):
        raise itk.damaged_file(path)
    return itk.header(path)


def pixels(path: Path, geometry: Geometry) -> np.ndarray:
    """Read the values in file order, shape `geometry.size`.

    Raises:
        UserError: The file is truncated or damaged.
    """
    content = path.read_bytes()
    keys, offset = parse(content)
    type_code = TYPES.get(keys.get("ElementType", ""))
    name = keys.get("ElementDataFile", "")
    plain = keys.get("BinaryData", "True") == "True" and not RARE & keys.keys()
    if type_code is None or not plain or (name != "LOCAL" and (" " in name or "%" in name or name == "LIST")):
        return itk.pixels(path, geometry)
    data = memoryview(content)[offset:] if name == "LOCAL" else memoryview(_beside(path, name))
    big = keys.get("BinaryDataByteOrderMSB", keys.get("ElementByteOrderMSB", "False")) == "True"
    dtype = np.dtype((">" if big else "<") + type_code)
    expected = int(np.prod(geometry.size, dtype=np.int64)) * dtype.itemsize  # bytes
    if keys.get("CompressedData", "False") == "True":
        data = _inflated(path, data, expected)
    if len(data) < expected:
        raise UserError(path, f"is truncated ({len(data)} of {expected} bytes of voxels)", "copy or export it again")
    return np.frombuffer(data[:expected], dtype=dtype).reshape(geometry.size, order="F")


def parse(content: bytes) -> tuple[dict[str, str], int]:
    """Split a MetaImage file into its keys and the offset at which LOCAL pixels start."""
    keys: dict[str, str] = {}
    offset = 0
    while offset < len(content) and "ElementDataFile" not in keys:
        end = content.find(b"\n", offset)
        end = len(content) if end < 0 else end
        key, _, value = content[offset:end].decode("latin-1").partition("=")
        keys[key.strip()] = value.strip()
        offset = end + 1
    return keys, offset


def _finite(numbers: str | None) -> bool:
    try:
        return all(math.isfinite(float(number)) for number in (numbers or "").split())
    except ValueError:
        return False


def _beside(path: Path, name: str) -> bytes:
    data = path.parent / name
    if not data.exists():
        raise UserError(path, f"names the voxel file {name}, which is missing", "copy both files")
    with reading(data):
        return data.read_bytes()


def _inflated(path: Path, data: memoryview, expected: int) -> memoryview:
    try:
        return memoryview(zlib.decompress(data, 47, max(expected, 1)))  # 47: a zlib or a gzip header
    except zlib.error as error:
        problem = "is truncated or damaged (its voxels do not decompress)"
        raise UserError(path, problem, "copy or export it again") from error
