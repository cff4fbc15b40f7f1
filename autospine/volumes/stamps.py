"""What tells that a volume has changed: size and times of every file that reading it reads.

The time of the last change of a file's entry (ctime) is among them, which nobody can put back: who writes new content
of the same size and restores the time of modification, as copying tools do, is seen. The price: a changed permission
or owner counts as well, and the case is read again.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from autospine.core.files import opened

HEADER_BYTES, BLOCK = 65536, 2**20
DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)[ \t]*(.+?)\s*$", re.MULTILINE)
INSIDE = "LOCAL"  # the voxels follow the header

Stamp = tuple[str, int, int, int]


def stamps(path: Path) -> list[Stamp]:
    """Return name, bytes, and nanoseconds of the last change of content and of entry of each file of a volume.

    Args:
        path: A file, a header whose voxels lie in a file beside it, or a DICOM folder.

    Raises:
        OSError: A file cannot be looked at.
        UserError: It is missing, unreadable or no regular file.
    """
    return [_stamp(file) for file in _files(path)]


def content_hash(path: Path) -> str:
    """Return a hash of the content of each file of a volume, whatever their names and times.

    Raises:
        OSError: A file cannot be read.
        UserError: It is missing, unreadable or no regular file.
    """
    content = hashlib.sha256()
    for file in _files(path):
        with opened(file) as stream:
            while block := stream.read(BLOCK):
                content.update(block)
    return content.hexdigest()


def _files(path: Path) -> list[Path]:
    return list(filter(Path.is_file, sorted(path.iterdir()))) if path.is_dir() else [path, *_data_files(path)]


def _stamp(file: Path) -> Stamp:
    status = file.stat()
    return str(file.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _data_files(path: Path) -> list[Path]:
    """Return the file beside a MetaImage or NRRD header that holds its voxels; none where they follow the header."""
    with opened(path) as file:
        match = DATA_FILE.search(file.read(HEADER_BYTES))
    name = os.fsdecode(match[1]) if match else INSIDE
    data = path.parent / name
    return [data] if name != INSIDE and data.is_file() else []
