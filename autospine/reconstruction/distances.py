"""Rule "aligned": distances to a label's outline, shifted along its centroid and interpolated across slices.

Interpolating signed distances is shape-based interpolation (Raya and Udupa, IEEE Trans. Med. Imaging 1990; across four
slices by cubic polynomials: Herman, Zheng and Bucholtz, IEEE Comput. Graph. Appl. 1992). A label between outlines of
two sizes gets the size between them, so that no scaling is needed.
"""

from __future__ import annotations

import numpy as np

from autospine.reconstruction.annotated import AnnotatedLabel

REACH = 0.75  # share of the gap: distances beyond it count the same, so that far outlines do not hold each other down
MISMATCH = 0.5  # labels are shifted where that leaves at most this share of what does not overlap


class AlignedDistances:
    """Signed distances of one label, cropped with a margin of `REACH` of the widest gap, between annotated slices."""

    def __init__(self, label: AnnotatedLabel) -> None:
        self.label = label
        self.distances = np.stack([signed_distance(plane, label.pixel) for plane in label.inside])
        self.shifts = [self._worth_shifting(low) for low in range(len(label.inside) - 1)]

    def plane(self, low: int, share: float) -> np.ndarray:
        """Return mm to the outline, positive inside, `share` of the way from annotated slice `low` to the next.

        A slice that lacks the label is everywhere as far outside as distances count: towards it the label shrinks.
        """
        label = self.label
        indices, weights = hermite_weights(label.positions, low, share)
        limit = REACH * label.gap * float(label.positions[low + 1] - label.positions[low])
        total = np.zeros(label.inside.shape[1:], np.float32)
        for index, weight in zip(indices, weights, strict=True):
            plane = np.clip(self.distances[index], -limit, limit)
            if self.shifts[low] and label.shows(index):
                plane = shifted(plane, label.centroid_at(low, share) - label.centroids[index])
            total += np.float32(weight) * plane
        return total

    def _worth_shifting(self, low: int) -> bool:
        """Tell whether two neighbours overlap much better once their centroids meet.

        They do where the label moved. Where it only lost some of its pixels, the rest stayed in its place.
        """
        label = self.label
        if not (label.shows(low) and label.shows(low + 1)):
            return False
        first, second = label.inside[low], label.inside[low + 1]
        offset = label.centroids[low] - label.centroids[low + 1]
        aligned = shifted(second.astype(np.float32), offset) >= 0.5
        return 1 - _dice(first, aligned) <= MISMATCH * (1 - _dice(first, second)) and not np.allclose(offset, 0)


def signed_distance(inside: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """Return mm to the nearest pixel of the other kind in `(rows, columns)`, positive inside; infinite without one.

    `pixel` is mm of rows and columns.
    """
    from scipy.ndimage import distance_transform_edt

    if not inside.any() or inside.all():
        return np.full(inside.shape, np.inf if inside.any() else -np.inf, np.float32)
    within, without = distance_transform_edt(inside, pixel), distance_transform_edt(~inside, pixel)
    return (within - without).astype(np.float32)


def shifted(plane: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Shift a plane by `(rows, columns)` in pixels, with linear interpolation; edges are repeated."""
    from scipy.ndimage import shift

    result: np.ndarray = shift(plane, offset, order=1, mode="nearest")
    return result


def hermite_weights(positions: np.ndarray, low: int, share: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return weights of four slices in one between the middle two: Catmull and Rom's cubic, gaps of any width.

    Returns:
        Indices of four slices (at an end, one of them twice) and their weights, which add up to 1.
    """
    indices = (max(low - 1, 0), low, low + 1, min(low + 2, len(positions) - 1))
    x0, x1, x2, x3 = (float(positions[index]) for index in indices)
    rise = share * (1 - share) ** 2 * (x2 - x1) / (x2 - x0)  # times the difference of slices 2 and 0
    fall = share**2 * (share - 1) * (x2 - x1) / (x3 - x1)  # times the difference of slices 3 and 1
    blend = share**2 * (3 - 2 * share)
    return indices, (-rise, 1 - blend - fall, blend + rise, fall)


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Dice coefficient of two planes of booleans, neither of them empty."""
    return 2 * int((first & second).sum()) / max(int(first.sum() + second.sum()), 1)
