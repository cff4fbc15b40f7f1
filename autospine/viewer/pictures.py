"""A sagittal slice as two pictures of one size: the scan, and its mask in colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.overlay.colours import colour_of

LONGEST = 720  # pixels of a picture's longer side
SHOWN = (0.5, 99.3)  # percentiles that become black and white, as in the overlay
ENOUGH = 1_000_000  # voxels that tell them
DIMMED = 0.35  # the scan behind the colours


@dataclass(frozen=True)
class SlicePictures:
    """Two pictures of one slice, both `(height, width, 3)` uint8 with square pixels."""

    scan: np.ndarray
    mask: np.ndarray


def find_window(image: np.ndarray) -> tuple[float, float]:
    """Return the darkest and brightest intensity worth showing of an image of any shape."""
    sample = image.reshape(-1)[:: max(image.size // ENOUGH, 1)]
    low, high = np.percentile(sample, SHOWN)
    return float(low), float(max(high, low + 1e-6))


def picture_size(shape: tuple[int, int], spacing: tuple[float, float]) -> tuple[int, int]:
    """Return height and width in square pixels, of rows and columns and their mm.

    Example:
        >>> picture_size((100, 100), (2.0, 1.0))
        (720, 360)
    """
    tall, wide = shape[0] * spacing[0], shape[1] * spacing[1]
    pixel = max(tall, wide) / LONGEST
    return max(round(tall / pixel), 1), max(round(wide / pixel), 1)


def draw_slice(
    image: np.ndarray,
    labels: np.ndarray,
    spacing: tuple[float, float],
    window: tuple[float, float],
    scheme: LabelScheme,
) -> SlicePictures:
    """Draw one slice.

    Args:
        image: `(rows, columns)` intensities.
        labels: The same shape, integers of `scheme`.
        spacing: mm along rows and columns.
        window: Intensities that become black and white.
        scheme: What the integers mean.
    """
    size = picture_size((image.shape[0], image.shape[1]), spacing)
    scaled = np.clip((image.astype(np.float64) - window[0]) / (window[1] - window[0]), 0, 1)
    grey = _resized(np.round(scaled * 255).astype(np.uint8), size, smooth=True)
    scan = np.repeat(grey[..., None], 3, axis=2)
    mask = np.round(scan * DIMMED).astype(np.uint8)
    for label in map(int, np.unique(labels)):
        if label not in (BACKGROUND, scheme.ignore_label):
            inside = _resized((labels == label).astype(np.uint8), size, smooth=False) > 0
            mask[inside] = np.round(np.array(colour_of(scheme.anatomies[label])) * 255)
    return SlicePictures(scan, mask)


def _resized(values: np.ndarray, size: tuple[int, int], smooth: bool) -> np.ndarray:
    """Return a picture `(rows, columns)` uint8 with `size` pixels."""
    from PIL import Image
    from PIL.Image import Resampling

    resampling = Resampling.BILINEAR if smooth else Resampling.NEAREST
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), resampling))
