"""Interpolate masks between annotated slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from autospine.reconstruction.annotated import annotated_slices, crop_labels
from autospine.reconstruction.boxes import InterpolatedBoxes
from autospine.reconstruction.distances import REACH, AlignedDistances
from autospine.reconstruction.grid import SliceGrid

Rule = Literal["aligned", "box"]
RULES: tuple[Rule, ...] = get_args(Rule)
TIE_MM = 1e-3  # a pixel this near to the outline belongs to the label


def interpolate_mask(
    mask: np.ndarray,
    grid: SliceGrid,
    spacing: tuple[float, float, float],
    rule: Rule = "aligned",
    ignore_label: int | None = None,
) -> np.ndarray:
    """Fill in labels between annotated slices, which come back voxel for voxel.

    An empty slice between labelled ones counts as not annotated and is filled in like a new one (`annotated_slices`). A
    label that an annotated slice lacks beside others is respected: it fades out towards that slice within half the gap.

    Args:
        mask: `(slices, rows, columns)` non-negative integers, measured slices.
        grid: Of `plan_slices` for them.
        spacing: mm along (slices, rows, columns) of `mask`.
        rule: "aligned" blends the neighbours' outlines where their centroids meet; "box" is the published rule.
        ignore_label: Marks voxels that nobody annotated, or None. An interpolated voxel gets it where a measured
            neighbour has it, unless a label reaches there.

    Returns:
        `(grid.count, rows, columns)`, same integer type. Where labels compete, the one whose outline encloses a
        pixel furthest wins.

    Raises:
        ValueError: The mask has another number of slices than the grid says.
    """
    if mask.shape[0] != grid.measured:
        raise ValueError(f"{mask.shape[0]} slices do not fit a grid of {grid.measured} measured ones")
    ignored = mask == ignore_label if ignore_label is not None else np.zeros(mask.shape, bool)
    result = _interpolate(np.where(ignored, mask.dtype.type(0), mask), grid, spacing, rule)
    if ignored.any():
        index = np.arange(grid.count)
        before, behind = index // grid.subdivisions, -(-index // grid.subdivisions)
        result[(ignored[before] | ignored[behind]) & (result == 0)] = ignore_label
    return result


def _interpolate(mask: np.ndarray, grid: SliceGrid, spacing: tuple[float, float, float], rule: Rule) -> np.ndarray:
    annotated = annotated_slices(mask)
    result = np.zeros((grid.count, *mask.shape[1:]), mask.dtype)
    result[annotated * grid.subdivisions] = mask[annotated]
    gaps = np.diff(annotated) * grid.subdivisions  # (gaps,) steps of the finer grid
    if mask.any() and gaps.max(initial=1) > 1:
        margin = REACH * spacing[0] * float(np.diff(annotated).max())
        kind = AlignedDistances if rule == "aligned" else InterpolatedBoxes
        labels = [kind(label) for label in crop_labels(mask, annotated, spacing, margin)]
        (foreground,) = crop_labels((mask > 0).astype(np.uint8), annotated, spacing, margin)
        distances = AlignedDistances(foreground) if rule == "aligned" and len(labels) > 1 else None
        for low, gap in enumerate(gaps):
            for step in range(1, gap):
                plane, share = result[annotated[low] * grid.subdivisions + step], step / gap
                least = np.full(plane.shape, -TIE_MM, np.float32)
                if distances is not None:  # inside what all labels hold together there are no slits between them
                    least[foreground.window] -= np.maximum(distances.plane(low, share), 0)
                _fill(plane, least, labels, low, share)
    return result


def _fill(
    plane: np.ndarray,
    best: np.ndarray,
    labels: Sequence[AlignedDistances | InterpolatedBoxes],
    low: int,
    share: float,
) -> None:
    """Write every label into `(rows, columns)` zeros where its value exceeds `best` and those before it."""
    for interpolator in labels:
        label = interpolator.label
        before, after = label.shows(low), label.shows(low + 1)
        if not ((before and (after or share <= 0.5)) or (after and share >= 0.5)):
            continue  # no neighbour shows it, or the farther one only
        values = interpolator.plane(low, share)
        wins = values > best[label.window]
        plane[label.window][wins] = label.value
        best[label.window][wins] = values[wins]
