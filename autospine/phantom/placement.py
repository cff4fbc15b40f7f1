"""Where a phantom's grid lies in the scanner, and its file's axis order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autospine.phantom.canvas import Axes

# File axes (i, j, k) by canonical axis (slices, rows, columns) and whether they run against it.
ORDERS: dict[str, tuple[tuple[int, bool], ...]] = {
    "LPS": ((0, False), (2, False), (1, True)),
    "PIR": ((2, False), (1, False), (0, True)),
}


@dataclass(frozen=True)
class Placement:
    """A file's geometry in SimpleITK's terms (LPS, mm).

    Attributes:
        orientation: "LPS" or "PIR".
        spacing: Of the file's axes i, j, k.
        origin: Place of voxel (0, 0, 0).
        direction: 3 x 3 row-major; columns are the file's axes.
    """

    orientation: str
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    def to_image(self, array: np.ndarray) -> Any:
        """A SimpleITK image from a canonical array (slices, rows, columns)."""
        import SimpleITK as sitk  # noqa: N813

        order = ORDERS[self.orientation]
        turned: Any = array[tuple(slice(None, None, -1 if _flip(order, a) else 1) for a in range(3))]
        k_j_i = tuple(axis for axis, _ in order[::-1])
        image: Any = sitk.GetImageFromArray(np.ascontiguousarray(np.transpose(turned, k_j_i)))
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image


def _flip(order: tuple[tuple[int, bool], ...], axis: int) -> bool:
    return next(against for a, against in order if a == axis)


def _turn(rng: np.random.Generator) -> np.ndarray:
    """A slight rotation, for the third of the scans whose slices follow a crooked patient."""
    angles = np.deg2rad(rng.normal(0, 3.5, 3).clip(-9, 9)) if rng.random() < 0.35 else np.zeros(3)
    (a, b, c), (d, e, f) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    about_z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def sample_placement(rng: np.random.Generator, axes: Axes, orientation: str) -> Placement:
    """Places a grid in the scanner.

    Args:
        rng: Source of chance.
        axes: The grid in the spine's coordinates.
        orientation: "LPS" or "PIR".
    """
    turn, shift = _turn(rng), rng.normal(0, [8, 15, 40])
    steps = turn @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # columns: slices, rows, columns
    spacing, shape = axes.spacing, axes.shape
    origin = turn @ np.array([axes.x[0], axes.y[0], axes.z[0]], dtype=float) + shift
    file_axes = []
    for axis, against in ORDERS[orientation]:
        file_axes.append(-steps[:, axis] if against else steps[:, axis])
        if against:
            origin = origin + steps[:, axis] * spacing[axis] * (shape[axis] - 1)
    direction = np.stack(file_axes, axis=1)
    return Placement(
        orientation,
        tuple(round(spacing[a], 5) for a, _ in ORDERS[orientation]),  # type: ignore[arg-type]
        tuple(round(float(c), 4) for c in origin),  # type: ignore[arg-type]
        tuple(float(c) for c in direction.reshape(-1)),
    )
