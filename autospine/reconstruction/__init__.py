"""Finer slice grids: images and masks between measured slices, which themselves come back unchanged."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autospine.reconstruction.grid import SliceGrid, measured_planes, plan_slices
    from autospine.reconstruction.images import interpolate_image
    from autospine.reconstruction.masks import interpolate_mask
    from autospine.reconstruction.measurements import Measurement, measure, write_measurements

__all__ = [
    "Measurement",
    "SliceGrid",
    "interpolate_image",
    "interpolate_mask",
    "measure",
    "measured_planes",
    "plan_slices",
    "write_measurements",
]

_HOMES = {
    "Measurement": "measurements",
    "SliceGrid": "grid",
    "measure": "measurements",
    "measured_planes": "grid",
    "plan_slices": "grid",
    "interpolate_image": "images",
    "interpolate_mask": "masks",
    "write_measurements": "measurements",
}


def __getattr__(name: str) -> Any:
    """Loads a name when first used, so that commands start without numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'autospine.reconstruction' has no attribute {name!r}")
    return getattr(import_module(f"autospine.reconstruction.{_HOMES[name]}"), name)
