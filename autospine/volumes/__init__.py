"""Scans and masks in and out: any file, any orientation, one canonical array and the file's own grid."""

from autospine.volumes.folders import find_volumes, volume_id
from autospine.volumes.geometry import Geometry
from autospine.volumes.reading import read_header, read_image, read_mask
from autospine.volumes.volume import Volume
from autospine.volumes.writing import write_volume

__all__ = [
    "Geometry",
    "Volume",
    "find_volumes",
    "read_header",
    "read_image",
    "read_mask",
    "volume_id",
    "write_volume",
]
