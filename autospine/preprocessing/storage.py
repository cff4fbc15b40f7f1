"""Preprocessed cases on disk: blosc2 arrays that are read chunk by chunk, and a JSON record beside each."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, remove, write_json, write_with
from autospine.core.serial import from_plain, to_plain
from autospine.core.text import printable
from autospine.fingerprint.statistics import label_statistics
from autospine.reconstruction.grid import SliceGrid


@dataclass(frozen=True)
class LabelRecord:
    """Position of one label on the plan's grid."""

    value: int  # in the data set's scheme
    voxels: int  # how many
    centroid: tuple[float, float, float]  # voxel index along (slices, rows, columns)
    # low, high: first and last index of its box along each axis, inclusive.
    low: tuple[int, int, int]
    high: tuple[int, int, int]
    # Centre of its vertebra's body, where it is more than that or another part, and the body can be told; else None.
    body: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class CaseRecord:
    """Record of a preprocessed case, for loader and scorer."""

    # id, patient, sequence: as in the data set.
    id: str
    patient: str
    sequence: str
    shape: tuple[int, int, int]  # of the plan's grid, (slices, rows, columns)
    spacing: tuple[float, float, float]  # mm, same order
    labels: tuple[LabelRecord, ...]  # one record per label present
    # Slices along the view axis that take part in training; None for all. A recipe's filter may drop some.
    slices: tuple[int, ...] | None
    key: str  # of everything that the preprocessed arrays depend on
    # Which slices were measured, where the plan interpolates those between; None elsewhere.
    slice_grid: SliceGrid | None = None
    source: str = ""  # name of its data set, where several are joined
    checksums: tuple[int, int] = (0, 0)  # CRC-32 of the files of image and mask, which `CaseStore.write` adds


def describe_labels(mask: np.ndarray) -> tuple[LabelRecord, ...]:
    """Return the records of all labels of a canonical mask."""
    records = []
    for value, figures in label_statistics(mask).items():
        s, r, c = (round(index, 3) for index in figures.centroid)
        records.append(LabelRecord(value, figures.voxels, (s, r, c), figures.box[:3], figures.box[3:]))
    return tuple(records)


class CaseStore:
    """One preprocessed case."""

    def __init__(self, folder: str | Path, case_id: str) -> None:
        self.folder, self.id = Path(folder), case_id
        self.image_path, self.mask_path = (self.folder / f"{case_id}.{what}.b2nd" for what in ("image", "mask"))
        self.record_path = self.folder / f"{case_id}.json"  # written last: where it exists, the case is whole

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened arrays behind where the case goes to another process, which opens its own."""
        return {name: value for name, value in self.__dict__.items() if name not in ("image", "mask")}

    def write(self, image: np.ndarray, mask: np.ndarray, record: CaseRecord, view_axis: int | None) -> None:
        """Store the image `(channels, slices, rows, columns)` as float16, the mask, and then the record.

        Slices along `view_axis` are read one by one.
        """
        remove(self.record_path)  # of an older plan: it must not vouch for new arrays
        image_axis = None if view_axis is None else view_axis + 1
        checksums = (
            _write_array(self.image_path, image.astype(np.float16), image_axis),
            _write_array(self.mask_path, mask, view_axis),
        )
        write_json(self.record_path, to_plain(replace(record, checksums=checksums)))
        for name in ("record", "image", "mask"):
            self.__dict__.pop(name, None)  # what was read before is outdated

    @cached_property
    def record(self) -> CaseRecord:
        """Return the record."""
        data = read_json(self.record_path, "run autospine_plan again")
        return from_plain(CaseRecord, data, str(self.record_path))

    def done(self, key: str) -> bool:
        """Return whether the case is stored and made from the same input by the same rules."""
        if not all(path.exists() for path in (self.record_path, self.image_path, self.mask_path)):
            return False
        try:
            return self.record.key == key
        except UserError:  # damaged, or of another version: it is made again
            return False

    @cached_property
    def image(self) -> np.ndarray:
        """Return `(channels, slices, rows, columns)` float16, read where it is sliced."""
        return self._open(self.image_path, 0)

    @cached_property
    def mask(self) -> np.ndarray:
        """Return `(slices, rows, columns)` labels, read where they are sliced."""
        return self._open(self.mask_path, 1)

    def _open(self, path: Path, part: int) -> np.ndarray:
        """Open an array, after comparing its file with the checksum of that part in the record.

        Raises:
            UserError: It is missing or damaged.
        """
        import blosc2

        try:
            content = path.read_bytes()
            if zlib.crc32(content) != self.record.checksums[part]:  # blosc2 finds damage only where it is read
                raise ValueError("another checksum")
            if str(path) != printable(str(path)):  # blosc2 opens only names that are UTF-8
                return blosc2.ndarray_from_cframe(content)
            return blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(path, "is missing or damaged", "delete it and run autospine_plan again") from error


def _write_array(path: Path, array: np.ndarray, slice_axis: int | None) -> int:
    """Store an array; return the CRC-32 of its file."""
    import blosc2

    chunks = list(array.shape)
    if slice_axis is not None:
        chunks[slice_axis] = 1
    else:
        chunks = [1 if axis < array.ndim - 3 else min(n, 64) for axis, n in enumerate(array.shape)]
    settings = {"codec": blosc2.Codec.LZ4, "clevel": 1, "nthreads": 1}
    stored = blosc2.asarray(np.ascontiguousarray(array), chunks=tuple(chunks), cparams=settings, contiguous=True)
    # Written by Python, since blosc2 does not say why a write fails (a full disk, say).
    content = stored.to_cframe()
    write_with(path, lambda temporary: temporary.write_bytes(content))
    return zlib.crc32(content)
