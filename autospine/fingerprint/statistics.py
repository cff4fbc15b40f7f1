"""Statistics of one image and one mask: intensities, label counts, centroids, boxes, checksums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SAMPLE = 200_000  # voxels that percentiles are taken from; 1 % of them is still 2000 voxels
PILE = 0.001  # share of voxels at one value from which an end of the range counts as a pile
BAND = 0.01  # part of the intensity range just below the maximum that a pile must outweigh
LARGE_LABEL = 4096  # above it labels are renumbered before they are measured


@dataclass(frozen=True)
class IntensityStatistics:
    """Intensities of an image or of its annotated part, in the file's own units."""

    minimum: float
    percentile_1: float
    median: float
    percentile_99: float
    maximum: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class LabelStatistics:
    """Where one label lies, in canonical voxel indices."""

    voxels: int  # how many voxels carry it
    slices: int  # how many sagittal slices show it
    centroid: tuple[float, float, float]  # mean index (slice, row, column)
    box: tuple[int, int, int, int, int, int]  # first and last index, inclusive: s0, r0, c0, s1, r1, c1
    per_slice: tuple[int, ...] = ()  # voxels on each slice of the box


def _sample(values: np.ndarray) -> np.ndarray:
    """Take about SAMPLE evenly spaced values; the stride is odd, or it could hit one column only."""
    flat = values.ravel()  # (voxels,)
    return flat[:: max(1, flat.size // SAMPLE) | 1]


def intensity_statistics(values: np.ndarray) -> IntensityStatistics:
    """Compute statistics of values of any shape, at least one.

    Extremes, mean and deviation are exact; percentiles come from about 200 000 evenly spaced values.
    """
    low, median, high = np.percentile(_sample(values), (1, 50, 99))
    return IntensityStatistics(
        minimum=float(values.min()),
        percentile_1=float(low),
        median=float(median),
        percentile_99=float(high),
        maximum=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        deviation=float(values.std(dtype=np.float32)),
    )


def clipped_share(values: np.ndarray, minimum: float, maximum: float) -> float:
    """Compute the share of voxels at exactly the minimum or maximum, if both pile up as if clipped; else 0.

    An unclipped scan has one or a few voxels at its maximum; zero-filled air alone piles up at the minimum only. So
    both ends must hold 0.1 % of the voxels, and the maximum more than the values just below it.
    """
    lowest = np.count_nonzero(values == minimum) / values.size
    highest = np.count_nonzero(values == maximum) / values.size
    if minimum == maximum or lowest < PILE or highest < PILE:
        return 0.0
    upper = np.count_nonzero(values >= maximum - BAND * (maximum - minimum)) / values.size
    return float(lowest + highest) if highest > upper - highest else 0.0


def label_boxes(mask: np.ndarray) -> list[tuple[int, tuple[slice, slice, slice]]]:
    """Find every positive label of (slices, rows, columns) integers, ascending, with its bounding box."""
    from scipy.ndimage import find_objects

    names: np.ndarray | None = None
    if mask.size and int(mask.max()) > LARGE_LABEL:
        values, numbers = np.unique(mask, return_inverse=True)
        names = values[values > 0]
        mask = numbers.reshape(mask.shape) + (0 if values[0] == 0 else 1)
    return [
        (label if names is None else int(names[label - 1]), box)
        for label, box in enumerate(find_objects(mask), start=1)
        if box is not None
    ]


def label_statistics(mask: np.ndarray) -> dict[int, LabelStatistics]:
    """Measure every positive label of (slices, rows, columns) integers, ascending."""
    return {label: _statistics(mask[box] == label, box) for label, box in label_boxes(mask)}


def _statistics(inside: np.ndarray, box: tuple[slice, slice, slice]) -> LabelStatistics:
    plane = inside.sum(axis=2, dtype=np.int64)  # (slices, rows) of the crop
    sums = (plane.sum(axis=1), plane.sum(axis=0), inside.sum(axis=(0, 1), dtype=np.int64))
    voxels = int(sums[0].sum())
    along = [
        float(part.start + np.dot(counts, np.arange(counts.size)) / voxels)
        for part, counts in zip(box, sums, strict=True)
    ]
    first, last = [part.start for part in box], [part.stop - 1 for part in box]
    return LabelStatistics(
        voxels=voxels,
        slices=int(np.count_nonzero(sums[0])),
        centroid=(along[0], along[1], along[2]),
        box=(first[0], first[1], first[2], last[0], last[1], last[2]),
        per_slice=tuple(sums[0].tolist()),
    )


def checksum(*arrays: np.ndarray) -> str:
    """Return 16 hexadecimal digits of the arrays' shapes and values; integers count by value, not by type."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(str(array.shape).encode())
        plain = array if array.dtype.kind == "f" else array.astype(np.int32)
        digest.update(np.ascontiguousarray(plain).data)
    return digest.hexdigest()
