"""A DICOM series in a folder. Only geometry and pixels are used: no names, dates or free text.

GDCM, which reads the files, may crash on a damaged one: it runs in a process apart (`gdcm.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import reading
from autospine.core.isolation import WorkerDiedError, isolated
from autospine.core.tables import counted
from autospine.volumes import gdcm
from autospine.volumes.folders import KNOWN, is_dicom_file, volume_suffix
from autospine.volumes.gdcm import DicomFile
from autospine.volumes.geometry import Geometry
from autospine.volumes.stored import StoredVolume, check_grid

ONE_SERIES = "put one series into a folder of its own"
WHOLE_SERIES = "export the series again"
NAMED_SO = (".dcm", ".ima")  # files that should be DICOM, whatever their first bytes
UNEVEN_MM = 0.05  # deviation of a slice from an even grid that is worth a warning
MISSING_SHARE = 0.25  # deviation, as a share of the slice distance, that no even grid can stand for
SAME_MM = 1e-3  # slices that are no further apart lie at one position
ENOUGH_SECONDS, BYTES_PER_SECOND = 15.0, 4e6  # what a call may take, more than a slow network drive needs
ENOUGH_BYTES, COPIES = 2**29, 6  # and the memory: libraries, and so many copies of what is read
AS_STORED = np.dtype(np.int16)  # for an estimate of the memory

Result = TypeVar("Result")


def header(folder: Path) -> StoredVolume:
    """Read the grid of the one series of a folder, without its pixels.

    Remarks tell of slices that are there twice, slightly uneven ones, and frames whose distance is a mere tag.

    Raises:
        UserError: No series or several, unreadable files, slices that are missing or askew.
    """
    slices = _series(folder)
    if len(slices) == 1:
        (file,) = slices
        geometry, remarks = _frames(file)
    else:
        _check_alike(folder, slices)
        slices, remarks = _each_once(folder, sorted(slices, key=lambda file: file.height))
        remarks += _check_even(folder, slices)
        geometry = _stack(slices)
    check_grid(folder, geometry, AS_STORED)
    files = tuple(file.path for file in slices)
    return StoredVolume(geometry, None, partial(_pixels, folder, files, geometry.size), remarks)


def _pixels(folder: Path, files: tuple[Path, ...], size: tuple[int, int, int]) -> np.ndarray:
    array = _apart(folder, files, gdcm.read_pixels, math.prod(size) * AS_STORED.itemsize)
    if array is None or array.size != math.prod(size):
        raise UserError(folder, "holds a DICOM file with damaged pixels", WHOLE_SERIES)
    return array.reshape(size)


def _apart(
    folder: Path, files: tuple[Path, ...], work: Callable[[tuple[Path, ...]], Result], voxel_bytes: int = 0
) -> Result:
    """Call a function of `gdcm` in the process apart; the file that crashes it is looked for and named."""
    stored = sum(path.stat().st_size for path in files)
    seconds, memory = ENOUGH_SECONDS + stored / BYTES_PER_SECOND, ENOUGH_BYTES + COPIES * (voxel_bytes + stored)
    try:
        return isolated(work, files, seconds=seconds, memory=memory)
    except WorkerDiedError as error:
        for path in files if len(files) > 1 else ():
            _apart(folder, (path,), work, voxel_bytes)
        where = files[0] if len(files) == 1 else folder
        raise UserError(where, "makes the DICOM reader crash (truncated or damaged)", WHOLE_SERIES) from error


def _series(folder: Path) -> list[DicomFile]:
    with reading(folder):
        entries = [path for path in sorted(folder.iterdir()) if path.is_file()]  # no pipes, which would never end
    named = [path for path in entries if path.name.upper() != "DICOMDIR"]
    files = tuple(path for path in named if is_dicom_file(path) or _named_so(path))
    headers = _apart(folder, files, gdcm.read_headers) if files else []
    unread = [path.name for path, header in zip(files, headers, strict=True) if header is None]
    if unread:
        problem = f"holds {len(unread)} DICOM files that cannot be read, {unread[0]} first (truncated or no image)"
        raise UserError(folder, problem, "export the series again, or move these files away")
    series: dict[str, list[DicomFile]] = {}
    for file in headers:
        if file is not None:
            series.setdefault(file.series, []).append(file)
    if not series:
        volumes = sum(volume_suffix(path) is not None for path in entries)
        problem = f"is a folder of {volumes} volumes" if volumes else "holds no scan"
        hint = "name one of its files" if volumes else f"give a {KNOWN} file, a folder of them, or a DICOM series"
        raise UserError(folder, problem, hint)
    if len(series) > 1:
        names = ", ".join(f"{name} ({_number(group[0])}{len(group)} files)" for name, group in series.items())
        raise UserError(folder, f"holds {len(series)} DICOM series: {names}", ONE_SERIES)
    return next(iter(series.values()))


def _named_so(path: Path) -> bool:
    return path.suffix.lower() in NAMED_SO and path.stat().st_size > 0


def _number(file: DicomFile) -> str:
    """Return "series 3, " where the header numbers the series."""
    return f"series {file.number}, " if file.number.isdecimal() else ""


def _frames(file: DicomFile) -> tuple[Geometry, tuple[str, ...]]:
    """Return the grid of a series in one file, its distance of slices from the frames or from a tag."""
    geometry = file.geometry
    frames = geometry.size[2]
    if frames == 1:
        return geometry, ()
    stated = _apart(file.path, (file.path,), gdcm.read_frames)
    if stated is None:
        raise UserError(file.path, "does not say where its frames lie", WHOLE_SERIES)
    if len(stated.positions) == frames:
        alike = [DicomFile(file.path, _slice_at(geometry, origin), "", "", True) for origin in stated.positions]
        remarks = _check_even(file.path, alike)
        if not _stack(alike).same_grid(geometry):
            raise UserError(file.path, "holds frames in another order than in space", WHOLE_SERIES)
        return geometry, remarks
    if not stated.gap:
        raise UserError(file.path, f"does not say how far apart its {frames} frames lie", WHOLE_SERIES)
    spacing = (geometry.spacing[0], geometry.spacing[1], stated.gap)
    remark = f"gives no positions of its {frames} frames; taken as {stated.gap:g} mm apart, as its {stated.tag} says"
    return Geometry(geometry.size, spacing, geometry.origin, geometry.direction), (remark,)


def _slice_at(geometry: Geometry, origin: tuple[float, float, float]) -> Geometry:
    return Geometry((*geometry.size[:2], 1), geometry.spacing, origin, geometry.direction)


def _stack(slices: list[DicomFile]) -> Geometry:
    """Return the grid from the first to the last slice; they need not lie at right angles to their planes."""
    first, last = slices[0].geometry, slices[-1].geometry
    affine = first.affine()
    if len(slices) > 1:
        affine[:3, 2] = np.subtract(last.origin, first.origin) / (len(slices) - 1)
    return Geometry.from_affine((*first.size[:2], len(slices)), affine)


def _check_alike(folder: Path, slices: list[DicomFile]) -> None:
    shared = slices[0].in_plane()
    for file in slices:
        if not file.placed:
            raise UserError(file.path, "does not say where in space it lies", WHOLE_SERIES)
        if file.geometry.size[2] != 1:
            raise UserError(file.path, "is one of several multi-frame files", ONE_SERIES)
        if not np.allclose(file.in_plane(), shared, rtol=0, atol=1e-3):
            problem = f"holds slices of different sizes or directions ({slices[0].path.name}, {file.path.name})"
            raise UserError(folder, problem, ONE_SERIES)


def _each_once(folder: Path, slices: list[DicomFile]) -> tuple[list[DicomFile], tuple[str, ...]]:
    """Leave out slices that are there twice, with the same pixels at the same position; others there are refused."""
    kept, copies = slices[:1], []
    for file in slices[1:]:
        twin = kept[-1]
        if np.linalg.norm(np.subtract(file.geometry.origin, twin.geometry.origin)) >= SAME_MM:
            kept.append(file)
            continue
        one, other = (_apart(folder, (path,), gdcm.read_pixels) for path in (twin.path, file.path))
        if one is None or other is None or not np.array_equal(one, other):
            problem = f"holds several slices at one position ({twin.path.name}, {file.path.name})"
            raise UserError(folder, problem, ONE_SERIES)
        copies.append(f"{file.path.name} is {twin.path.name}")
    if not copies:
        return kept, ()
    return kept, (f"{counted(len(copies), 'slice')} given twice, taken once ({copies[0]})",)


def _check_even(folder: Path, slices: list[DicomFile]) -> tuple[str, ...]:
    """Refuse missing slices; return a remark on slightly uneven ones."""
    if len(slices) < 2:
        return ()
    origins = np.array([file.geometry.origin for file in slices])  # (n, 3) mm
    distances = np.abs(np.diff([file.height for file in slices]))  # (n - 1,) mm
    if distances.min() < SAME_MM:
        twin = int(distances.argmin())
        names = f"{slices[twin].path.name}, {slices[twin + 1].path.name}"
        raise UserError(folder, f"holds several slices at one position ({names})", ONE_SERIES)
    even = np.linspace(origins[0], origins[-1], len(slices))  # (n, 3) mm
    deviation = float(np.linalg.norm(origins - even, axis=1).max())
    distance, widest = float(np.median(distances)), float(distances.max())
    if deviation > MISSING_SHARE * distance or widest > (1 + MISSING_SHARE) * distance:
        problem = f"has missing or uneven slices ({distance:.3g} mm apart, {widest:.3g} mm at worst)"
        raise UserError(folder, problem, "export the whole series again, or resample it to an even grid")
    if deviation > UNEVEN_MM:
        return (f"its slices lie up to {deviation:.2g} mm off an even grid of {distance:.3g} mm",)
    return ()
