"""A DICOM series in a folder. Only geometry and pixels are used: no names, dates or free text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.volumes import itk
from autospine.volumes.folders import is_dicom_file, volume_suffix
from autospine.volumes.geometry import Geometry

POSITION, ORIENTATION, NUMBER = "0020|0032", "0020|0037", "0020|0011"
ONE_SERIES = "put one series into a folder of its own"
WHOLE_SERIES = "export the series again"
UNEVEN_MM = 0.05  # deviation of a slice from an even grid that is worth a warning
MISSING_SHARE = 0.25  # deviation, as a share of the slice distance, that no even grid can stand for


@dataclass(frozen=True)
class SliceFile:
    """One file of a series: its grid, and the direction in which slices are stacked."""

    path: Path
    geometry: Geometry
    height: float  # mm along the normal

    def in_plane(self) -> np.ndarray:
        """Return what all slices must share: in-plane size, spacing and directions, shape (10,)."""
        columns = self.geometry.directions()[:, :2].ravel()
        return np.array([*self.geometry.size[:2], *self.geometry.spacing[:2], *columns])


def header(folder: Path) -> tuple[Geometry, tuple[str, ...], tuple[Path, ...]]:
    """Read the grid of the one series of a folder, without its pixels.

    Returns:
        The grid, remarks that a user should see, and the files in the order of the grid's third axis.

    Raises:
        UserError: No series or several, unreadable files, slices that are missing, doubled or askew.
    """
    files = _series_files(folder)
    if len(files) == 1:
        return itk.header(files[0]), (), tuple(files)
    slices = sorted((_slice(path) for path in files), key=lambda file: file.height)
    _check_alike(folder, slices)
    remarks = _check_even(folder, slices)
    first, last = slices[0].geometry, slices[-1].geometry
    affine = first.affine()
    affine[:3, 2] = np.subtract(last.origin, first.origin) / (len(slices) - 1)
    geometry = Geometry.from_affine((*first.size[:2], len(slices)), affine)
    return itk.check_grid(folder, geometry), remarks, tuple(file.path for file in slices)


def pixels(folder: Path, geometry: Geometry, files: tuple[Path, ...]) -> np.ndarray:
    """Read the values in file order, shape `geometry.size`.

    Raises:
        UserError: A file is damaged.
    """
    if len(files) == 1:
        return itk.pixels(files[0], geometry)
    sitk = itk.simpleitk()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in files])
    try:
        with itk.quiet():
            image = reader.Execute()
    except RuntimeError as error:
        raise UserError(folder, "holds a DICOM file with damaged pixels", WHOLE_SERIES) from error
    return sitk.GetArrayFromImage(image).T.reshape(geometry.size)


def _series_files(folder: Path) -> list[Path]:
    finder = itk.simpleitk().ImageSeriesReader
    with itk.quiet():
        names = finder.GetGDCMSeriesIDs(str(folder))
        series = {name: [Path(file) for file in finder.GetGDCMSeriesFileNames(str(folder), name)] for name in names}
    listed = {path.name for files in series.values() for path in files}
    unread = [
        path.name
        for path in sorted(folder.iterdir())
        if path.name not in listed and path.name.upper() != "DICOMDIR" and is_dicom_file(path)
    ]
    if unread:
        problem = f"holds {len(unread)} DICOM files that cannot be read, {unread[0]} first (truncated or no image)"
        raise UserError(folder, problem, "export the series again, or move these files away")
    if not series:
        volumes = sum(volume_suffix(path) is not None for path in folder.iterdir())
        problem = f"is a folder of {volumes} volumes" if volumes else "holds no DICOM series"
        raise UserError(folder, problem, "name one of its files" if volumes else "check the path")
    if len(series) > 1:
        names = ", ".join(f"{name} ({_number(files[0])}{len(files)} files)" for name, files in series.items())
        raise UserError(folder, f"holds {len(series)} DICOM series: {names}", ONE_SERIES)
    return next(iter(series.values()))


def _number(path: Path) -> str:
    """Return "series 3, " where the header numbers the series."""
    number = _tags(path, NUMBER)[0]
    return f"series {number}, " if number.isdecimal() else ""


def _tags(path: Path, *keys: str) -> list[str]:
    reader = itk.simpleitk().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with itk.quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise itk.damaged_file(path) from error
    return [reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else "" for key in keys]


def _slice(path: Path) -> SliceFile:
    position, orientation = _tags(path, POSITION, ORIENTATION)
    if not position or not orientation:
        raise UserError(path, "does not say where in space it lies", WHOLE_SERIES)
    geometry = itk.header(path)
    if geometry.size[2] != 1:
        raise UserError(path, "is one of several multi-frame files", ONE_SERIES)
    directions = geometry.directions()
    normal = np.cross(directions[:, 0], directions[:, 1])  # (3,)
    return SliceFile(path, geometry, float(normal @ geometry.origin))


def _check_alike(folder: Path, slices: list[SliceFile]) -> None:
    shared = slices[0].in_plane()
    for other in slices[1:]:
        if not np.allclose(other.in_plane(), shared, rtol=0, atol=1e-3):
            problem = f"holds slices of different sizes or directions ({slices[0].path.name}, {other.path.name})"
            raise UserError(folder, problem, ONE_SERIES)


def _check_even(folder: Path, slices: list[SliceFile]) -> tuple[str, ...]:
    """Refuse doubled and missing slices; return a remark on slightly uneven ones."""
    origins = np.array([file.geometry.origin for file in slices])  # (n, 3) mm
    distances = np.diff([file.height for file in slices])  # (n - 1,) mm
    if distances.min() < 1e-3:
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
