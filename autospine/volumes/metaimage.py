"""MetaImage (.mha, .mhd), read without SimpleITK, which passes damaged data on with a shrug or ends the process.

Format: https://itk.org/Wiki/MetaIO/Documentation
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import opened
from autospine.volumes.geometry import Geometry, three
from autospine.volumes.stored import StoredVolume, check_grid, check_shape, damaged_file
from autospine.volumes.voxels import Voxels, beside

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
HEADER_BYTES = 65536  # a header, comments included, is far shorter
MOST_AXES = 10  # as ITK has it
UNIT_LENGTH = 1e-5  # by which a direction may miss the length 1 and still be taken as it is written
# Each with its synonyms, the first given counts.
SPACING = ("ElementSpacing", "ElementSize")
ORIGIN = ("Offset", "Position", "Origin")
MATRIX = ("TransformMatrix", "Rotation", "Orientation")
BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")


def header(path: Path) -> StoredVolume:
    """Read the header.

    Raises:
        UserError: The file is not readable, not one scalar volume, its grid is impossible, or its voxels lie elsewhere.
    """
    with opened(path) as file:
        keys, offset = parse(file.read(HEADER_BYTES))
    try:
        geometry = _geometry(path, keys)
        skipped = int(keys.get("HeaderSize", 0))
    except (ValueError, OverflowError) as error:
        raise damaged_file(path) from error
    kind = keys.get("ElementType", "")
    if not kind:
        raise damaged_file(path)
    if kind not in TYPES:
        raise UserError(path, f"holds voxels of the type {kind}", f"use one of {', '.join(TYPES)}")
    dtype = np.dtype((">" if _true(keys, *BIG_ENDIAN) else "<") + TYPES[kind])
    check_grid(path, geometry, dtype)
    name = os.fsdecode(keys["ElementDataFile"].encode("latin-1"))
    local = name.upper() == "LOCAL"
    if name.split()[0] == "LIST" or "%" in name:
        raise UserError(path, "keeps its voxels in several files", "convert it to .mha, one file")
    coding = "gzip" if _true(keys, "CompressedData") else "raw"
    if "BinaryData" in keys and not _true(keys, "BinaryData"):
        coding = "text"
    start = skipped if skipped else offset if local else 0
    voxels = Voxels(path, path if local else beside(path, name), start, coding, dtype, geometry.size)
    return StoredVolume(geometry, dtype, voxels.read)


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


def _geometry(path: Path, keys: dict[str, str]) -> Geometry:
    """Return the stated grid; raises ValueError where the header states none."""
    axes = int(keys.get("NDims", 0))
    if not 1 <= axes <= MOST_AXES or not keys.get("ElementDataFile"):
        raise ValueError("no MetaImage")
    shape = [int(number) for number in keys.get("DimSize", "").split()]
    if len(shape) != axes:
        raise ValueError("DimSize")
    size = check_shape(path, shape, int(keys.get("ElementNumberOfChannels", 1)))
    spacing = _numbers(keys, SPACING, np.ones(axes))[:3]
    origin = _numbers(keys, ORIGIN, np.zeros(axes))[:3]
    matrix = _numbers(keys, MATRIX, np.eye(axes)).reshape(axes, axes)[:3, :3].T  # written column by column
    if (spacing > 0).all() and np.allclose(np.linalg.norm(matrix, axis=0), 1, rtol=0, atol=UNIT_LENGTH):
        return Geometry(size, three(spacing.tolist()), three(origin.tolist()), tuple(matrix.ravel().tolist()))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix * spacing, origin
    return Geometry.from_affine(size, affine)


def _numbers(keys: dict[str, str], names: tuple[str, ...], default: np.ndarray) -> np.ndarray:
    text = next((keys[name] for name in names if name in keys), None)
    if text is None:
        return default
    numbers = np.array([float(number) for number in text.split()])
    if len(numbers) != default.size:
        raise ValueError(names[0])
    return numbers


def _true(keys: dict[str, str], *names: str) -> bool:
    return any(keys.get(name, "")[:1] in ("T", "t", "1") for name in names)
