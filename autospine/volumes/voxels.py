"""The bytes of voxels: where a header may keep them, and decompressed to their size and no further."""

from __future__ import annotations

import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import opened

CHUNK = 2**20  # bytes that are decompressed at once
DIGITS = 32  # most letters of a number written as text, with its blank
AGAIN = "copy or export it again"


@dataclass(frozen=True)
class Voxels:
    """Voxels in a file.

    Attributes:
        header: The file that an error names.
        file: The file that holds them, often the same.
        offset: Bytes before them; -1 if they are the last of the file.
        coding: "raw", "gzip" (or zlib) or "text".
        dtype: Type of the values.
        size: Voxels along the file's axes (i, j, k).
        skipped: Bytes before them in what the file decompresses to.
    """

    header: Path
    file: Path
    offset: int
    coding: str
    dtype: np.dtype
    size: tuple[int, int, int]
    skipped: int = 0

    def read(self) -> np.ndarray:
        """Read the values, shape `size`; nothing that follows them is read.

        Raises:
            UserError: They are missing, truncated or damaged.
        """
        count = math.prod(self.size)
        with opened(self.file, "copy both files") as file:
            start = os.fstat(file.fileno()).st_size - count * self.dtype.itemsize if self.offset < 0 else self.offset
            file.seek(max(0, start))
            if self.coding == "text":
                values = _from_text(self.header, file, count, self.dtype)
            else:
                data = self._bytes(file, self.skipped + count * self.dtype.itemsize)
                values = np.frombuffer(data, self.dtype, offset=self.skipped)
        return values.reshape(self.size, order="F")

    def _bytes(self, file: BinaryIO, expected: int) -> bytes | bytearray:
        if self.coding == "gzip":
            return decompress(self.header, file, expected)
        data = file.read(expected)
        if len(data) < expected:
            raise UserError(self.header, f"is truncated ({len(data)} of {expected} bytes of voxels)", AGAIN)
        return data


def beside(path: Path, name: str) -> Path:
    """Return the file of voxels that a header names: it has to lie in the header's own folder.

    A header from elsewhere could otherwise have any file of this machine read.

    Raises:
        UserError: The name is a path, or a link that leads out of the folder, or nothing is there.
    """
    file = path.parent / name
    if not name or name in (".", "..") or Path(name).name != name or "\\" in name or "\0" in name:
        outside = True
    else:
        outside = os.path.realpath(file.parent) != str(Path(os.path.realpath(file)).parent)
    if outside:
        problem = f"keeps its voxels in {name!r}, which is no file beside it"
        raise UserError(path, problem, "put the voxels beside their header, or convert it to .mha, one file")
    if not file.exists():
        raise UserError(path, f"names the voxel file {name}, which is missing", "copy both files")
    return file


def decompress(path: Path, file: BinaryIO, wanted: int) -> bytearray:
    """Decompress zlib or gzip data up to a number of bytes, checking its checksum where it ends there.

    Args:
        path: The file that an error names.
        file: Where the data starts.
        wanted: Bytes; what follows them is left alone, however long it is.

    Raises:
        UserError: There are fewer, or they are damaged.
    """
    output, filled, data = bytearray(wanted), 0, b""
    inflater = zlib.decompressobj(47)  # 47: a zlib or a gzip header
    while data := data or file.read(CHUNK):
        try:
            piece = inflater.decompress(data, max(1, wanted - filled))
        except zlib.error as error:
            raise UserError(path, "is truncated or damaged (its voxels do not decompress)", AGAIN) from error
        if filled == wanted and piece:
            return output
        output[filled : filled + len(piece)] = piece
        filled += len(piece)
        data = inflater.unconsumed_tail
        if inflater.eof:
            if filled == wanted:
                return output
            data, inflater = inflater.unused_data, zlib.decompressobj(47)  # the next part of a gzip file
    raise UserError(path, f"is truncated ({filled} of {wanted} bytes of voxels)", AGAIN)


def _from_text(path: Path, file: BinaryIO, count: int, dtype: np.dtype) -> np.ndarray:
    numbers = file.read(DIGITS * count).split()[:count]
    try:
        values = np.array([float(number) for number in numbers])
    except ValueError as error:
        raise UserError(path, "is damaged (its voxels are no numbers)", AGAIN) from error
    if len(values) < count:
        raise UserError(path, f"is truncated ({len(values)} of {count} voxels)", AGAIN)
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(dtype)
