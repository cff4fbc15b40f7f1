"""Measure every label in every slice: centroid, corners, diameter, height-to-width ratio, area, box.

After Pal et al. (modified attention U-Net with slice reconstruction), who keep these figures per vertebra and slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.files import write_text
from autospine.core.tables import csv_text
from autospine.fingerprint.statistics import label_boxes

Point = tuple[float, float]


@dataclass(frozen=True)
class Measurement:
    """One label in one slice. Points are (row, column) in voxels, voxel centres being whole numbers."""

    value: int  # the label
    slice: int  # index on the finer grid
    position_mm: float  # from the first slice, along the slice axis
    measured: bool  # whether the slice was measured and its labels annotated, neither of them filled in
    centroid: Point  # mean (row, column) of its pixels
    corners: tuple[Point, Point]  # ends of the diameter: the centroid minus and plus half the box's diagonal
    diameter_mm: float  # distance between the corners, which is the box's diagonal
    height_to_width: float  # of the box, in mm
    area_mm2: float  # of the pixels
    box: tuple[int, int, int, int]  # first and last row and column, inclusive: r0, c0, r1, c1


def measure(
    mask: np.ndarray, spacing: tuple[float, float, float], measured_indices: Sequence[int]
) -> tuple[Measurement, ...]:
    """Measure every label in every slice that shows it, by label, then slice.

    Args:
        mask: `(slices, rows, columns)` non-negative integers.
        spacing: mm along the same axes.
        measured_indices: Slices that were measured and annotated: of `SliceGrid.measured_indices` those whose labels
            were not filled in.
    """
    measured = frozenset(measured_indices)
    measurements = []
    for value, (slices, rows, columns) in label_boxes(mask):
        for index in range(slices.start, slices.stop):
            plane = mask[index, rows, columns] == value
            if plane.any():
                corner = (rows.start, columns.start)
                measurements.append(_measure_plane(plane, corner, spacing, value, index, index in measured))
    return tuple(measurements)


def _measure_plane(
    plane: np.ndarray,
    corner: tuple[int, int],
    spacing: tuple[float, float, float],
    value: int,
    index: int,
    measured: bool,
) -> Measurement:
    """Measure one label's pixels, `(rows, columns)` booleans cropped at `corner`."""
    rows, columns = np.nonzero(plane)
    r0, r1, c0, c1 = (int(index) for index in (rows.min(), rows.max(), columns.min(), columns.max()))
    size = (r1 - r0 + 1, c1 - c0 + 1)
    height, width = size[0] * spacing[1], size[1] * spacing[2]  # mm
    row, column = float(rows.mean()) + corner[0], float(columns.mean()) + corner[1]
    return Measurement(
        value=value,
        slice=index,
        position_mm=index * spacing[0],
        measured=measured,
        centroid=(row, column),
        corners=((row - size[0] / 2, column - size[1] / 2), (row + size[0] / 2, column + size[1] / 2)),
        diameter_mm=float(np.hypot(height, width)),
        height_to_width=height / width,
        area_mm2=rows.size * spacing[1] * spacing[2],
        box=(r0 + corner[0], c0 + corner[1], r1 + corner[0], c1 + corner[1]),
    )


COLUMNS = (
    "case", "label", "slice", "position_mm", "measured", "centroid_row", "centroid_column",
    "corner1_row", "corner1_column", "corner2_row", "corner2_column",
    "diameter_mm", "height_to_width", "area_mm2", "box_r0", "box_c0", "box_r1", "box_c1",
)  # fmt: skip


def write_measurements(path: str | Path, cases: Iterable[tuple[str, Sequence[Measurement]]]) -> None:
    """Write a CSV table of cases' ids and measurements, a row per label and slice; lengths in mm, points in voxels."""
    write_text(path, csv_text(COLUMNS, (_row(case, row) for case, rows in cases for row in rows)))


def _row(case: str, row: Measurement) -> list[object]:
    points = [f"{x:.2f}" for x in (*row.centroid, *row.corners[0], *row.corners[1])]
    figures = [f"{row.diameter_mm:.2f}", f"{row.height_to_width:.3f}", f"{row.area_mm2:.1f}"]
    position = [f"{row.position_mm:.3f}", "yes" if row.measured else "no"]
    return [case, row.value, row.slice, *position, *points, *figures, *row.box]
