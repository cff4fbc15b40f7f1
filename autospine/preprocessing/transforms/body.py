"""The crop to the body: what is brighter than air by Otsu's thresholds, in one piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.preprocessing.transforms.base import CaseData
from autospine.preprocessing.transforms.spatial import Placement, Window, crop

BINS = 256
CLASSES = 3  # air, muscle and bone, fat and fluid: with two, muscle and bone fall to the air


def body_window(image: np.ndarray) -> Window:
    """The box of the largest connected piece above the lower of Otsu's two thresholds.

    Otsu, "A threshold selection method from gray-level histograms", 1979, with three classes.

    Args:
        image: `(slices, rows, columns)`.

    Returns:
        The whole grid where the image is constant.
    """
    if image.max() <= image.min():
        first, second, third = (slice(0, n) for n in image.shape)
        return first, second, third
    import cc3d

    bright = image > air_threshold(image)
    pieces = cc3d.statistics(cc3d.connected_components(bright, connectivity=6))
    largest = 1 + int(np.argmax(pieces["voxel_counts"][1:]))
    first, second, third = pieces["bounding_boxes"][largest]
    return first, second, third


def air_threshold(image: np.ndarray) -> float:
    """The intensity below which there is air; the image must not be constant."""
    from skimage.filters import threshold_multiotsu

    counts, edges = np.histogram(image, BINS)
    classes = min(CLASSES, np.count_nonzero(counts))
    centres = (edges[:-1] + edges[1:]) / 2
    found = threshold_multiotsu(classes=classes, hist=(counts, centres))  # type: ignore[no-untyped-call]
    return float(found[0])


@dataclass(frozen=True)
class OtsuCrop:
    """Crops to the body as the first channel shows it; slices along the view axis are all kept.

    Attributes:
        margin: mm around the body's box.
    """

    margin: float = 10.0

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError(f"margin is {self.margin:g}, below 0")

    def for_case(self, case: CaseData) -> Placement:
        """Depends on the case's intensities."""
        parts = []
        for axis, part in enumerate(body_window(case.image[0])):
            size, more = case.shape[axis], int(np.ceil(self.margin / case.spacing[axis]))
            low, high = max(part.start - more, 0), min(part.stop + more, size)
            parts.append(slice(0, size) if axis == case.view_axis else slice(low, high))
        return crop((parts[0], parts[1], parts[2]))
