"""Labels in the slices that are annotated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.fingerprint.statistics import label_boxes


@dataclass(frozen=True)
class AnnotatedLabel:
    """A label cropped out of all annotated slices."""

    value: int  # its integer
    window: tuple[slice, slice]  # rows and columns that it ever occupies, and a margin
    inside: np.ndarray  # `(slices, rows, columns)` booleans in the window, annotated slices only
    positions: np.ndarray  # `(slices,)` where these lie, in measured gaps
    # `(slices, 2)` mean row and column in the window, in pixels; NaN where a slice lacks the label.
    centroids: np.ndarray
    gap: float  # between measured slices, mm
    pixel: tuple[float, float]  # mm of rows and columns

    def shows(self, index: int) -> bool:
        """Return whether the annotated slice `index` shows the label."""
        return not bool(np.isnan(self.centroids[index, 0]))

    def centroid_at(self, low: int, share: float) -> np.ndarray:
        """Return `(2,)` a point on the line between the centroids of two neighbours that both show the label."""
        return np.asarray((1 - share) * self.centroids[low] + share * self.centroids[low + 1])


def annotated_slices(mask: np.ndarray) -> np.ndarray:
    """Return the indices of the slices of `(slices, rows, columns)` labels that count as annotated.

    A slice without any label counts as annotated, and empty, unless it lies between slices that have labels:
    no slice of a scan between two that show the spine misses all of it, so such a slice was left out.
    """
    labelled = np.asarray(mask.any(axis=(1, 2)))
    before = np.logical_or.accumulate(labelled)
    after = np.logical_or.accumulate(labelled[::-1])[::-1]
    return np.flatnonzero(labelled | ~(before & after))


def crop_labels(
    mask: np.ndarray, annotated: np.ndarray, spacing: tuple[float, float, float], margin_mm: float
) -> list[AnnotatedLabel]:
    """Crop every label out, ascending.

    Args:
        mask: `(slices, rows, columns)` non-negative integers.
        annotated: Indices of the slices to look at.
        spacing: mm along the same axes.
        margin_mm: Around the label, as far as the slice reaches.
    """
    labels = []
    for value, (_, rows, columns) in label_boxes(mask):
        window = (_widened(rows, margin_mm / spacing[1]), _widened(columns, margin_mm / spacing[2]))
        inside = mask[:, window[0], window[1]][annotated] == value
        labels.append(
            AnnotatedLabel(value, window, inside, annotated, _centroids(inside), spacing[0], (spacing[1], spacing[2]))
        )
    return labels


def _widened(side: slice, margin: float) -> slice:
    reach = int(np.ceil(margin)) + 1
    return slice(max(side.start - reach, 0), side.stop + reach)  # beyond the end is no harm


def _centroids(inside: np.ndarray) -> np.ndarray:
    """Return `(slices, 2)` centroids of `(slices, rows, columns)` booleans, NaN for empty slices."""
    count = inside.sum(axis=(1, 2))
    sums = [inside.sum(axis=3 - axis) @ np.arange(inside.shape[axis]) for axis in (1, 2)]
    return np.stack(sums, axis=1) / np.where(count > 0, count, np.nan)[:, None]
