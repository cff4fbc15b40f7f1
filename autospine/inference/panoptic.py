"""The panoptic form of an answer: beside the labels, one number per connected object, and a table of the objects.

After Kirillov et al. 2019 ("Panoptic segmentation") as Pal et al. use it for vertebrae: voxels of one label that hang
together are one instance. Where slices were interpolated they hang together across them, as in that paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.files import write_json
from autospine.core.serial import to_plain
from autospine.inference.segmentation import ASSUMPTION, RESEARCH_ONLY
from autospine.labels.schemes import LabelScheme
from autospine.volumes import Volume, write_volume

VERSION = 1


@dataclass(frozen=True)
class Segment:
    """One connected object.

    Attributes:
        instance: Its number in the instance map, from 1.
        value: Its label in the mask.
        anatomy: Key such as "vertebra:1".
        name: Such as "L5", under the stated assumption.
        level: Ordinal from the lowest lumbar vertebra, or None.
        voxels: How many.
        volume_ml: Of the object.
        centroid_mm: In the scanner's LPS frame.
        extent_mm: Of its box from left to right, head to foot, front to back, along the image's axes.
    """

    instance: int
    value: int
    anatomy: str
    name: str
    level: int | None
    voxels: int
    volume_ml: float
    centroid_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Panoptic:
    """Objects of one mask.

    Attributes:
        instances: Instance numbers on the mask's grid, 0 outside.
        segments: One per number, in order.
    """

    instances: Volume
    segments: tuple[Segment, ...]

    def save(self, path: Path, table: Path) -> None:
        """Writes the instance map, then its table as JSON."""
        write_volume(self.instances, path)
        note = f"{ASSUMPTION} {RESEARCH_ONLY}"
        write_json(table, {"version": VERSION, "segments": to_plain(self.segments), "note": note})


def panoptic(mask: Volume, scheme: LabelScheme, stack: np.ndarray | None = None) -> Panoptic:
    """Numbers the connected objects (26 neighbours) of a mask: label by label, the largest first.

    Args:
        mask: Integers of `scheme`, canonical.
        scheme: Names.
        stack: Labels of the mask's slices and of those interpolated between them, equally many in each gap: what hangs
            together there is one object. None where none were interpolated.
    """
    import cc3d

    parts = _parts(mask.array, stack)  # (slices, rows, columns)
    found = cc3d.statistics(parts)
    counts = found["voxel_counts"]
    first = [tuple(int(side.start) for side in box) for box in found["bounding_boxes"]]
    values = np.array([0, *(_value(mask.array, parts, k, first[k]) for k in range(1, len(counts)))])
    order = sorted(range(1, len(counts)), key=lambda k: (values[k], -int(counts[k]), first[k]))
    number = np.zeros(len(counts), np.uint16 if len(counts) < 2**16 else np.uint32)
    number[order] = np.arange(1, len(counts))
    segments = tuple(
        _segment(
            place,
            int(values[k]),
            mask,
            scheme,
            int(counts[k]),
            found["centroids"][k],
            found["bounding_boxes"][k],
        )
        for place, k in enumerate(order, start=1)
    )
    return Panoptic(mask.with_array(number[parts]), segments)


def _parts(mask: np.ndarray, stack: np.ndarray | None) -> np.ndarray:
    """Numbers of connected objects from 1, without gaps, on the mask's slices."""
    import cc3d

    if stack is None or len(stack) == len(mask):
        return cc3d.connected_components(mask, connectivity=26)
    across = cc3d.connected_components(stack, connectivity=26)
    parts = across[:: (len(stack) - 1) // (len(mask) - 1)]
    shown = np.bincount(parts.ravel()) > 0  # some lie between measured slices only
    shown[0] = False
    number = np.zeros(len(shown), parts.dtype)
    number[shown] = np.arange(1, np.count_nonzero(shown) + 1)
    return number[parts]


def _value(mask: np.ndarray, parts: np.ndarray, part: int, first: tuple[int, ...]) -> int:
    """The label of a part: in the first plane of its box there is a voxel of it."""
    return int(mask[first[0]][parts[first[0]] == part][0])


def _segment(
    instance: int,
    value: int,
    mask: Volume,
    scheme: LabelScheme,
    voxels: int,
    centroid: np.ndarray,
    box: tuple[slice, ...],
) -> Segment:
    anatomy = scheme.anatomies[value]
    place = mask.canonical_affine() @ np.array([*centroid, 1.0])
    extent = [(side.stop - side.start) * mm for side, mm in zip(box, mask.spacing, strict=True)]
    return Segment(
        instance=instance,
        value=value,
        anatomy=anatomy.key,
        name=anatomy.name,
        level=anatomy.level,
        voxels=voxels,
        volume_ml=round(voxels * float(np.prod(mask.spacing)) / 1000, 3),
        centroid_mm=(round(place[0], 2), round(place[1], 2), round(place[2], 2)),
        extent_mm=(round(extent[0], 2), round(extent[1], 2), round(extent[2], 2)),
    )
