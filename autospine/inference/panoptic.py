"""Panoptic form of a mask: beside the labels, one number per connected object, and a table of the objects.

After Kirillov et al. 2019 ("Panoptic segmentation") as Pal et al. use it for vertebrae: the connected components of one
label are its instances. Where slices were interpolated, components connect across them, as in that paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.files import write_json
from autospine.core.serial import to_plain
from autospine.core.tables import DISCLAIMER
from autospine.inference.segmentation import ASSUMPTION, position_mm, volume_ml
from autospine.labels.schemes import LabelScheme
from autospine.metrics.components import component_boxes, connected_components
from autospine.volumes import Volume, write_volume

VERSION = 1


@dataclass(frozen=True)
class Segment:
    """One connected object."""

    instance: int  # number in the instance map, from 1
    value: int  # label in the mask
    anatomy: str  # key such as "vertebra:1"
    name: str  # such as "L5", under the stated assumption
    level: int | None  # ordinal from the lowest lumbar vertebra, or None
    voxels: int  # number of voxels
    volume_ml: float  # volume of the object
    centroid_mm: tuple[float, float, float]  # in the scanner's LPS frame
    # Of its box from left to right, head to foot, front to back, along the image's axes.
    extent_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Panoptic:
    """Objects of one mask."""

    instances: Volume  # instance numbers on the mask's grid, 0 outside
    segments: tuple[Segment, ...]  # one per number, in order

    def save(self, path: Path, table: Path) -> None:
        """Write the instance map, then its table as JSON."""
        write_volume(self.instances, path)
        note = f"{ASSUMPTION} {DISCLAIMER}"
        write_json(table, {"version": VERSION, "segments": to_plain(self.segments), "note": note})


def panoptic(mask: Volume, scheme: LabelScheme, interpolated_labels: np.ndarray | None = None) -> Panoptic:
    """Number the connected objects (26 neighbours) of a mask: label by label, the largest first.

    Args:
        mask: Integers of `scheme`, canonical.
        scheme: Meaning of the integers.
        interpolated_labels: Labels of the mask's slices and of those interpolated between them, equally many in each
            gap: what is connected there is one object. None where none were interpolated.
    """
    components = _components(mask.array, interpolated_labels)  # (slices, rows, columns)
    voxels = np.nonzero(components)
    numbers = components[voxels]  # (N,)
    counts = np.bincount(numbers, minlength=1)
    centroids = np.stack([np.bincount(numbers, axis, len(counts)) for axis in voxels], axis=1)  # (components, 3) sums
    boxes = dict(component_boxes(components))
    corners = {k: tuple(side.start for side in box) for k, box in boxes.items()}
    values = [0, *(_value(mask.array, components, k, corners[k][0]) for k in range(1, len(counts)))]
    order = sorted(range(1, len(counts)), key=lambda k: (values[k], -int(counts[k]), corners[k]))
    number = np.zeros(len(counts), np.uint16 if len(counts) < 2**16 else np.uint32)
    number[order] = np.arange(1, len(counts))
    segments = []
    for instance, k in enumerate(order, start=1):
        anatomy = scheme.anatomies[values[k]]
        a, b, c = (round((side.stop - side.start) * mm, 2) for side, mm in zip(boxes[k], mask.spacing, strict=True))
        segments.append(
            Segment(
                instance=instance,
                value=values[k],
                anatomy=anatomy.key,
                name=anatomy.name,
                level=anatomy.level,
                voxels=int(counts[k]),
                volume_ml=volume_ml(mask, int(counts[k])),
                centroid_mm=position_mm(mask, centroids[k] / counts[k]),
                extent_mm=(a, b, c),
            )
        )
    return Panoptic(mask.with_array(number[components]), tuple(segments))


def _components(mask: np.ndarray, interpolated_labels: np.ndarray | None) -> np.ndarray:
    """Number the connected components from 1, without gaps, on the mask's slices."""
    if interpolated_labels is None or len(interpolated_labels) == len(mask):
        return connected_components(mask)[0]
    across, _ = connected_components(interpolated_labels)
    components = across[:: (len(interpolated_labels) - 1) // (len(mask) - 1)]
    shown = np.bincount(components.ravel()) > 0  # some lie between measured slices only
    shown[0] = False
    number = np.zeros(len(shown), components.dtype)
    number[shown] = np.arange(1, np.count_nonzero(shown) + 1)
    return number[components]


def _value(mask: np.ndarray, components: np.ndarray, component: int, first: int) -> int:
    """Return the label of a component, of which slice `first` holds a voxel."""
    return int(mask[first][components[first] == component][0])
