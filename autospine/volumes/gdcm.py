"""DICOM files through SimpleITK's GDCM: what `dicom.py` calls in a process apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from autospine.volumes.geometry import Geometry, triple

POSITION, ORIENTATION, NUMBER, SERIES = "0020|0032", "0020|0037", "0020|0011", "0020|000e"
GAPS = ("SpacingBetweenSlices", "SliceThickness")  # the distance of frames that give no positions


@dataclass(frozen=True)
class DicomFile:
    """One file of a series.

    Attributes:
        path: The file.
        geometry: Its own grid.
        series: UID of its series.
        number: Of the series, as its header writes it.
        placed: Whether its header says where in space it lies.
    """

    path: Path
    geometry: Geometry
    series: str
    number: str
    placed: bool

    @property
    def height(self) -> float:
        """Return the position along the normal of the slice, in mm."""
        directions = self.geometry.directions()
        return float(np.cross(directions[:, 0], directions[:, 1]) @ self.geometry.origin)

    def in_plane(self) -> np.ndarray:
        """Return what all slices must share: in-plane size, spacing and directions, shape (10,)."""
        columns = self.geometry.directions()[:, :2].ravel()
        return np.array([*self.geometry.size[:2], *self.geometry.spacing[:2], *columns])


@dataclass(frozen=True)
class Frames:
    """Where the frames of one file lie.

    Attributes:
        positions: LPS position of each frame's first pixel in mm; none if the file does not say.
        gap: Distance in mm that a tag states, or 0.
        tag: The tag's name.
    """

    positions: tuple[tuple[float, float, float], ...]
    gap: float
    tag: str


def read_headers(files: tuple[Path, ...]) -> list[DicomFile | None]:
    """Read the headers of files; None for one that cannot be read.

    Raises:
        UserError: A file holds colour, or more than one volume.
    """
    with _names(files) as names:
        return [_header(path, name) for path, name in zip(files, names, strict=True)]


def read_pixels(files: tuple[Path, ...]) -> np.ndarray | None:
    """Read one volume of all files, shape (i, j, k), the files along k; None if one is damaged."""
    sitk = _simpleitk()
    with _names(files) as names:
        try:
            image = sitk.ReadImage(names[0] if len(names) == 1 else names, imageIO="GDCMImageIO")
        except RuntimeError:
            return None
    array = sitk.GetArrayFromImage(image).T
    return array.reshape(*array.shape[:3])  # a fourth axis holds one volume


def read_frames(files: tuple[Path, ...]) -> Frames | None:
    """Read where the frames of one file lie; None if that cannot be read."""
    import pydicom

    dataset = pydicom.dcmread(files[0], stop_before_pixels=True)
    shared = [item for item in dataset.get("SharedFunctionalGroupsSequence", ())]
    positions = [
        triple(plane.ImagePositionPatient)
        for frame in dataset.get("PerFrameFunctionalGroupsSequence", ())
        for plane in frame.get("PlanePositionSequence", ())
    ]
    measures = [item for group in shared for item in group.get("PixelMeasuresSequence", ())]
    for holder in (*measures, dataset):
        for tag in GAPS:
            gap = float(holder.get(tag) or 0.0)
            if gap > 0:
                return Frames(tuple(positions), gap, tag)
    return Frames(tuple(positions), 0.0, "")


def _simpleitk() -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def _header(path: Path, name: str) -> DicomFile | None:
    from autospine.volumes.stored import check_shape

    reader = _simpleitk().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(name)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    tags = [reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else "" for key in (SERIES, NUMBER)]
    placed = all(reader.HasMetaDataKey(key) and reader.GetMetaData(key).strip() for key in (POSITION, ORIENTATION))
    size = reader.GetSize()
    size = check_shape(path, size if len(size) > 2 else (*size, 1), reader.GetNumberOfComponents())
    dimension = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    geometry = Geometry(
        size,
        triple(reader.GetSpacing()[:3]),
        triple(reader.GetOrigin()[:3]),
        tuple(float(x) for x in direction.ravel()),
    )
    return DicomFile(path, geometry, tags[0], tags[1], placed)


@contextmanager
def _names(files: tuple[Path, ...]) -> Iterator[list[str]]:
    """Yield names that SimpleITK takes: links for those that are not UTF-8, of which it dies."""
    with TemporaryDirectory(prefix="autospine_dicom_") as folder:
        names = []
        for index, path in enumerate(files):
            name = str(path.absolute())
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                name = f"{folder}/{index}.dcm"
                Path(name).symlink_to(path.absolute())
            names.append(name)
        yield names
