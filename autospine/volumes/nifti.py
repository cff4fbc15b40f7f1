"""NIfTI: which of the two orientations counts, and pixels that are surely whole.

SimpleITK reads the grid where it can. It refuses directions that are not at right angles, prefers the
qform where only the sform is skewed, and fills truncated files with zeros without a word; nibabel
settles those.
"""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.volumes import itk
from autospine.volumes.geometry import Geometry

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's RAS to LPS and back
# Orientations of one file that agree to this at every corner are the same (float32, quaternions).
CONFLICT_MM = 0.05
SKEW_DEGREES = 0.01
UNITS = {"meter": 1000.0, "micron": 0.001}  # in mm
GZIP = b"\x1f\x8b"
LABEL = re.compile(rb'<Label Key="(\d{1,9})"[^<>]{0,200}><!\[CDATA\[([^\]]{1,200})\]\]></Label>')
MOST_EXTENSION = 1 << 18  # bytes of a file among which a label table is looked for; one of 117 names has 18 000
UNREADABLE = (OSError, EOFError, ValueError, zlib.error)


def nibabel() -> Any:
    """Load nibabel, most of which has no types, when first needed."""
    import nibabel as module

    return module


def header(path: Path) -> tuple[Geometry, tuple[str, ...]]:
    """Read the grid and what a user should know about it.

    Returns:
        The grid, and one remark for every doubtful thing: sform and qform in conflict, skewed directions,
        no orientation at all.

    Raises:
        UserError: The file is not readable, not one scalar volume, or its grid is impossible.
    """
    raw = _raw_header(path)
    shape = raw.get_data_shape()
    itk.check_shape(path, shape, max(1, len(raw.get_data_dtype().names or ())))
    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    try:
        simple: Geometry | None = itk.header(path)
    except UserError:
        simple = None
    sform, qform = (_stated(raw, kind, size) for kind in ("sform", "qform"))
    stated = sform or qform
    if stated is None:
        zooms = np.diag([*(float(zoom) for zoom in raw.get_zooms()[:3]), 1.0])
        geometry = simple or Geometry.from_affine(size, zooms)
        remark = f"states no orientation (sform and qform codes are 0); read as {geometry.orientation}"
        return itk.check_grid(path, geometry), (remark,)
    itk.check_grid(path, stated)
    remarks = []
    if sform and qform and sform.displacement(qform) > CONFLICT_MM:
        remarks.append(f"its sform and qform differ by up to {sform.displacement(qform):.3g} mm; the sform is used")
    skewed = stated.skew() > SKEW_DEGREES
    if skewed:
        fault = f"its axes miss right angles by {stated.skew():.2g} degrees"
        remarks.append(f"{fault}, which SimpleITK does not read; read with the full affine through nibabel")
    if simple and not skewed and simple.same_grid(stated, CONFLICT_MM):
        return simple, tuple(remarks)
    return stated, tuple(remarks)


def pixels(path: Path, geometry: Geometry) -> np.ndarray:
    """Read the values in file order, slope and intercept applied, shape `geometry.size`.

    Raises:
        UserError: The file is truncated or damaged.
    """
    nib = nibabel()
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            content = gzip.decompress(content)  # checks length and checksum too
        kind = nib.Nifti2Image if _is_second(content) else nib.Nifti1Image
        array = np.asanyarray(kind.from_bytes(content).dataobj)
        return array.reshape(geometry.size, order="F")
    except (*UNREADABLE, nib.spatialimages.HeaderDataError, nib.filebasedimages.ImageFileError) as error:
        raise itk.damaged_file(path) from error


def label_table(path: Path) -> dict[int, str]:
    """Read the names of labels that TotalSegmentator writes into a mask's header extension; empty without any."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as inner:
                start = inner.read(MOST_EXTENSION)
    except UNREADABLE:
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


def _raw_header(path: Path) -> Any:
    nib = nibabel()
    try:
        with path.open("rb") as file:
            start = file.read(540)  # the size of a NIfTI-2 header, the longer one
            if start.startswith(GZIP):
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as inner:
                    start = inner.read(540)
        kind = nib.Nifti2Header if _is_second(start) else nib.Nifti1Header
        raw = kind(start[: kind.sizeof_hdr], check=False)
        raw.get_data_shape()  # this and the next raise if the header's figures make no sense
        raw.get_data_dtype()
        raw.get_xyzt_units()
    except (*UNREADABLE, KeyError, nib.wrapstruct.WrapStructError, nib.spatialimages.HeaderDataError) as error:
        raise itk.damaged_file(path) from error
    if raw["magic"].item()[:2] != b"n+":
        raise itk.damaged_file(path)
    return raw


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
    scale = UNITS.get(raw.get_xyzt_units()[0], 1.0)
    return Geometry.from_affine(size, np.diag([scale, scale, scale, 1.0]) @ LPS @ matrix)
