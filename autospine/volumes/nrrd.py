"""NRRD (.nrrd): the header through pynrrd, the voxels by this package.

Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import opened
from autospine.volumes.geometry import Geometry
from autospine.volumes.stored import StoredVolume, check_grid, check_shape, damaged_file
from autospine.volumes.voxels import Voxels, beside

HEADER_BYTES = 65536  # a header, comments included, is far shorter
SYNONYMS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {name: code for code, names in SYNONYMS.items() for name in names}
CODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "ascii": "text", "text": "text", "txt": "text"}
# From a space to LPS; other names, as scanner-xyz, are taken as LPS.
SPACES = {
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
DATA_FILE = re.compile(rb"^data ?file:[ \t]*(\S.*?)\s*$", re.MULTILINE)
BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def header(path: Path) -> StoredVolume:
    """Read the header.

    Raises:
        UserError: The file is not readable, not one scalar volume, its grid is impossible, or its voxels lie elsewhere.
    """
    with opened(path) as file:
        start = file.read(HEADER_BYTES)
    end = BLANK_LINE.search(start)
    text = start[: end.start() + 1] if end else start
    fields = _fields(path, text)
    named = DATA_FILE.search(text)  # of the raw text: pynrrd drops letters that are not ASCII
    name = os.fsdecode(named[1]) if named else None
    if end is None and name is None:
        raise damaged_file(path)
    try:
        dtype = np.dtype((">" if fields.get("endian") == "big" else "<") + TYPES[fields["type"]])
        geometry = _geometry(path, fields)
    except (KeyError, ValueError, TypeError, OverflowError, IndexError) as error:
        raise damaged_file(path) from error
    check_grid(path, geometry, dtype)
    encoding = fields.get("encoding")
    if encoding is None:
        raise damaged_file(path)
    coding = CODINGS.get(encoding)
    if coding is None:
        raise UserError(path, f"stores its voxels as {encoding}", "save it with the encoding gzip")
    skip = fields.get("byte skip", fields.get("byteskip", 0))
    if fields.get("line skip", fields.get("lineskip", 0)) or (skip and coding != "raw"):
        raise UserError(path, "skips lines or bytes before its voxels", "convert it to .nii.gz or .mha")
    if name is not None and (name.split()[0] == "LIST" or "%" in name):
        raise UserError(path, "keeps its voxels in several files", "convert it to .nii.gz or .mha")
    offset = skip if skip < 0 or name else skip + (end.end() if end else 0)
    voxels = Voxels(path, path if name is None else beside(path, name), offset, coding, dtype, geometry.size)
    remarks = () if "space directions" in fields else ("states no orientation; read as LPS",)
    return StoredVolume(geometry, dtype, voxels.read, remarks)


def _fields(path: Path, text: bytes) -> Mapping[str, Any]:
    import nrrd

    try:
        return nrrd.read_header(io.BytesIO(text))
    except Exception as error:  # whatever a damaged line makes the parser raise
        raise damaged_file(path) from error


def _geometry(path: Path, fields: Mapping[str, Any]) -> Geometry:
    """Return the stated grid; raises an exception of its figures where the header states none."""
    shape = [int(length) for length in fields["sizes"]]
    if len(shape) != int(fields["dimension"]):
        raise ValueError("sizes")
    directions = fields.get("space directions")
    if directions is None:
        size = check_shape(path, shape)
        spacing = np.array([*fields.get("spacings", ()), 1.0, 1.0, 1.0][:3], dtype=np.float64)
        return Geometry.from_affine(size, np.diag([*np.where(np.isnan(spacing), 1.0, spacing), 1.0]))
    spatial = [axis for axis, vector in enumerate(directions) if vector is not None and np.isfinite(vector).all()]
    others = [length for axis, length in enumerate(shape) if axis not in spatial]
    size = check_shape(path, [shape[axis] for axis in spatial], int(np.prod(others, dtype=object)) if others else 1)
    signs = np.array(SPACES.get(str(fields.get("space", "")).lower(), (1, 1, 1)))
    affine = np.eye(4)
    affine[:3, :3] = np.array([directions[axis][:3] for axis in spatial[:3]], dtype=np.float64).T * signs[:, None]
    affine[:3, 3] = signs * np.asarray(fields.get("space origin", np.zeros(3)), dtype=np.float64)[:3]
    return Geometry.from_affine(size, affine)
