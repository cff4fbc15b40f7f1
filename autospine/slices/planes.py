"""The three planes as pictures: which way a canonical volume is cut, and how its slices stand upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plane:
    """One way to cut.

    Attributes:
        axis: Canonical axis along which the slices lie.
        down: Canonical axis that runs down the picture.
        across: Canonical axis that runs from its left to its right.
    """

    axis: int
    down: int
    across: int

    def picture(self, volume: np.ndarray, index: int) -> np.ndarray:
        """`(down, across)` slice of a `(slices, rows, columns)` volume."""
        cut = volume.take(index, axis=self.axis)
        return cut if self.down < self.across else cut.T


# Sagittal: head up, front on the left. Axial: front up; coronal: head up; both with the patient's right on the left.
PLANES = {"sagittal": Plane(0, 1, 2), "axial": Plane(1, 2, 0), "coronal": Plane(2, 1, 0)}
