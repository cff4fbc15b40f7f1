"""NIfTI: which of the two orientations counts, and pixels that are surely whole.

nibabel reads the header, and the voxels are read here: SimpleITK refuses directions that are not at right angles,
prefers the qform where only the sform is skewed, and fills truncated files with zeros without a word.
"""

from __future__ import annotations

import re
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import opened
from autospine.volumes.geometry import Geometry
from autospine.volumes.stored import StoredVolume, check_grid, check_shape, damaged_file
from autospine.volumes.voxels import CHUNK, Voxels

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's RAS to LPS and back
# Orientations of one file that agree to this at every corner are the same (float32, quaternions).
CONFLICT_MM = 0.05
SKEW_DEGREES = 0.01
UNITS = {"meter": 1000.0, "micron": 0.001}  # in mm
GZIP = b"\x1f\x8b"
LABEL = re.compile(rb'<Label Key="(\d{1,9})"[^<>]{0,200}><!\[CDATA\[([^\]]{1,200})\]\]></Label>')
MOST_EXTENSION = 1 << 18  # bytes of a file among which a label table is looked for; one of 117 names has 18 000
LONGEST_HEADER = 540  # bytes, NIfTI-2's
UNREADABLE = (ValueError, KeyError, zlib.error)
MOST_OFFSET = 2**24  # bytes of header and extensions before the voxels


def nibabel() -> Any:
    """Load nibabel, most of which has no types, when first needed."""
    import nibabel as module

    return module


def header(path: Path) -> StoredVolume:
    """Read the header, with a remark on sform and qform in conflict, skewed directions, and no orientation at all.

    Raises:
        UserError: The file is not readable, not one scalar volume, or its grid is impossible.
    """
    raw, compressed = _raw_header(path)
    stored = raw.get_data_dtype()
    size = check_shape(path, raw.get_data_shape(), max(1, len(stored.names or ())))
    if stored.kind not in "iuf" or stored.itemsize > 8:
        raise UserError(path, f"holds voxels of type {stored}", "give real numbers, one per voxel")
    geometry, remarks = _grid(path, raw, size)
    check_grid(path, geometry, stored)
    try:
        slope, intercept = raw.get_slope_inter()
        offset = int(raw["vox_offset"])
    except (ValueError, OverflowError, nibabel().spatialimages.HeaderDataError) as error:
        raise damaged_file(path) from error
    if not raw.sizeof_hdr <= offset <= MOST_OFFSET:
        raise damaged_file(path)
    voxels = (
        Voxels(path, path, 0, "gzip", stored, size, skipped=offset)
        if compressed
        else Voxels(path, path, offset, "raw", stored, size)
    )
    scaled = slope is not None and (slope, intercept) != (1.0, 0.0)
    pixels = partial(_scaled, voxels, slope, intercept) if scaled else voxels.read
    return StoredVolume(geometry, np.dtype(np.float64) if scaled else stored, pixels, remarks)


def _grid(path: Path, raw: Any, size: tuple[int, int, int]) -> tuple[Geometry, tuple[str, ...]]:
    """Return the grid, and what a user should know about it."""
    sform, qform = (_stated(raw, kind, size) for kind in ("sform", "qform"))
    stated = sform or qform
    if stated is None:
        zooms = np.diag([*(_millimetres(raw) * float(zoom) for zoom in raw.get_zooms()[:3]), 1.0])
        geometry = Geometry.from_affine(size, zooms)
        return geometry, ("states no orientation (sform and qform codes are 0); read as LPS",)
    check_grid(path, stated)
    remarks = []
    if sform and qform and sform.displacement(qform) > CONFLICT_MM:
        remarks.append(f"its sform and qform differ by up to {sform.displacement(qform):.3g} mm; the sform is used")
    if stated.skew() > SKEW_DEGREES:
        remarks.append(f"its axes miss right angles by {stated.skew():.2g} degrees; read with the full affine")
    return stated, tuple(remarks)


def _scaled(voxels: Voxels, slope: float, intercept: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # the reader looks for infinities
        return voxels.read() * np.float64(slope) + np.float64(intercept)


def label_table(path: Path) -> dict[int, str]:
    """Read the names of labels that TotalSegmentator writes into a mask's header extension; empty without any."""
    try:
        start, _ = _start(path, MOST_EXTENSION)
    except (zlib.error, UserError):
        return {}
    return {int(key): name.decode(errors="replace") for key, name in LABEL.findall(start)}


def encode(array: np.ndarray, geometry: Geometry) -> bytes:
    """Write a NIfTI-1 file (uncompressed) into memory.

    The sform carries the exact affine; the qform too unless the directions are skewed, which it cannot say.

    Args:
        array: Values in file order, shape `geometry.size`.
        geometry: The grid.
    """
    affine = LPS @ geometry.affine()
    image = nibabel().Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    rounded = Geometry.from_affine(geometry.size, LPS @ image.get_qform())
    if rounded.displacement(geometry) > CONFLICT_MM:
        image.set_qform(affine, 0)
    image.header.set_xyzt_units("mm")
    return image.to_bytes()


def _raw_header(path: Path) -> tuple[Any, bool]:
    """Return nibabel's header, unchecked, and whether the file is compressed."""
    nib = nibabel()
    try:
        start, compressed = _start(path, LONGEST_HEADER)
        kind = nib.Nifti2Header if _is_second(start) else nib.Nifti1Header
        raw = kind(start[: kind.sizeof_hdr], check=False)
        raw.get_data_shape()  # this and the next raise if the header's figures make no sense
        raw.get_data_dtype()
        raw.get_xyzt_units()
    except (*UNREADABLE, nib.wrapstruct.WrapStructError, nib.spatialimages.HeaderDataError) as error:
        raise damaged_file(path) from error
    if raw["magic"].item()[:2] != b"n+":
        raise damaged_file(path)
    return raw, compressed


def _start(path: Path, most: int) -> tuple[bytes, bool]:
    """Return a file's first bytes, decompressed, and whether it is compressed; raises zlib.error on damage."""
    with opened(path) as file:
        start = file.read(CHUNK)
    if start.startswith(GZIP):
        return zlib.decompressobj(31).decompress(start, most), True
    return start[:most], False


def _is_second(content: bytes) -> bool:
    return content[4:7] == b"n+2"


def _stated(raw: Any, kind: str, size: tuple[int, int, int]) -> Geometry | None:
    """Return the grid of the sform or qform, None if its code says that it does not count."""
    if int(raw[f"{kind}_code"]) <= 0:
        return None
    try:
        matrix = raw.get_sform() if kind == "sform" else raw.get_qform()
    except (ValueError, nibabel().spatialimages.HeaderDataError):  # a quaternion that is no rotation
        return None
    scale = _millimetres(raw)
    return Geometry.from_affine(size, np.diag([scale, scale, scale, 1.0]) @ LPS @ matrix)


def _millimetres(raw: Any) -> float:
    """Return the header's unit of length in mm."""
    return UNITS.get(raw.get_xyzt_units()[0], 1.0)
