"""Rule "box" of Pal et al. (modified attention U-Net with slice reconstruction), taken literally.

Between two annotated slices the centroid and the diameter through it are interpolated linearly; the diameter's ends are
the corners of a box; pixels of the box that are zero, here in both neighbours shifted to the centroid, are dropped.
"""

from __future__ import annotations

import numpy as np

from autospine.reconstruction.annotated import AnnotatedLabel
from autospine.reconstruction.distances import shifted


class InterpolatedBoxes:
    """Boxes of one label between annotated slices."""

    def __init__(self, label: AnnotatedLabel) -> None:
        self.label = label

    def plane(self, low: int, share: float) -> np.ndarray:
        """Return the share of the two neighbours that show the label at a pixel of the box, above 0; -1 elsewhere.

        A label that only one neighbour shows is as it is there.
        """
        label = self.label
        outside = np.full(label.inside.shape[1:], -1, np.float32)
        shown = [index for index in (low, low + 1) if label.shows(index)]
        if len(shown) == 1:
            return np.where(label.inside[shown[0]], np.float32(1), outside)
        centroid = label.centroid_at(low, share)
        blend = np.zeros_like(outside)
        for index, weight in ((low, 1 - share), (low + 1, share)):
            plane = shifted(label.inside[index].astype(np.float32), centroid - label.centroids[index])
            blend += np.float32(weight) * (plane >= 0.5)
        sizes = np.stack([_size(label.inside[index]) for index in shown])  # (2, 2) rows, columns
        half = ((1 - share) * sizes[0] + share * sizes[1]) / 2  # (2,) from the centroid to a corner
        rows, columns = np.indices(outside.shape)
        boxed = (np.abs(rows - centroid[0]) <= half[0]) & (np.abs(columns - centroid[1]) <= half[1])
        return np.where(boxed & (blend > 0), blend, outside)


def _size(inside: np.ndarray) -> np.ndarray:
    """Return height and width of the pixels' box, `(2,)`."""
    rows, columns = np.nonzero(inside)
    return np.array([np.ptp(rows) + 1, np.ptp(columns) + 1])
