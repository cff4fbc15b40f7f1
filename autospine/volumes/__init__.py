"""Scans and masks in and out: any file, any orientation, one canonical array and the way back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Geometry": "geometry",
    "Volume": "volume",
    "find_volumes": "folders",
    "read_header": "reading",
    "read_image": "reading",
    "read_mask": "reading",
    "volume_id": "folders",
    "write_volume": "writing",
}


def __getattr__(name: str) -> Any:
    """Loads a name when first used, so that commands start without numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'autospine.volumes' has no attribute {name!r}")
    return getattr(import_module(f"autospine.volumes.{_HOMES[name]}"), name)
