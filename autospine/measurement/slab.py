"""Where a structure's mid-sagittal plane lies if the slices, a slab thinner than the spine, cut its sides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autospine.measurement.canal import Canal
from autospine.measurement.instances import Instance, Spacing

SHOWN_MM, SHOWN_SHARE = 4.0, 0.25  # at least so far from a cut end, in mm or as a share of all slices, lies a middle
WINDOW_MM = 20.0  # along the canal, in which its width is measured
LEAST_WIDTH_MM = 16.0  # of a canal of which the slices show a part only
OUTSIDE = "its middle lies outside the slices, or at their end"
UNKNOWN = "its sides are cut, and no canal behind it shows where its middle is"


@dataclass(frozen=True)
class Slab:
    """The slices of a mask, and the canal, which marks the middle of what they cut.

    Attributes:
        canal: None where it is not labelled.
        shape: Of the mask: slices, rows, columns.
        spacing: mm along each axis.
    """

    canal: Canal | None
    shape: tuple[int, ...]
    spacing: Spacing

    def middle_of(self, instance: Instance) -> float | str | None:
        """Return x of the mid-sagittal plane in mm, None: that of the voxels; or why the slices do not show it."""
        first, last = instance.extent(0)
        cut_low, cut_high = first == 0, last == self.shape[0] - 1
        top, bottom = instance.extent(1)
        if self.canal is None or self.shape[0] < 2 or not (cut_low or cut_high):
            return None
        extent = self._extent(top, bottom)
        if extent is None:
            return UNKNOWN
        low, high = self._ends
        middle = self._canal_middle(*extent)
        shown = min(middle - low if cut_low else np.inf, high - middle if cut_high else np.inf)
        return middle if shown >= min(SHOWN_MM, SHOWN_SHARE * (high - low)) else OUTSIDE

    @property
    def _ends(self) -> tuple[float, float]:
        return -self.spacing[0] / 2, (self.shape[0] - 0.5) * self.spacing[0]

    @cached_property
    def _canal_rows(self) -> np.ndarray:
        return np.flatnonzero(self.canal.mask.any(axis=(0, 2))) if self.canal is not None else np.empty(0, int)

    def _extent(self, top: int, bottom: int) -> tuple[float, float] | None:
        """Return from where to where in x (mm) the canal in these rows is at least half as deep as at its deepest."""
        depths = self.canal.mask[:, top : bottom + 1].sum(axis=(1, 2)) if self.canal is not None else np.zeros(1)
        if not depths.any():
            return None
        deep = np.flatnonzero(depths >= depths.max() / 2)
        return float((deep[0] - 0.5) * self.spacing[0]), float((deep[-1] + 0.5) * self.spacing[0])

    @cached_property
    def _width(self) -> float:
        """Return the greatest width of the canal that the slices show, mm, or the least that is usual."""
        rows, window = self._canal_rows, round(WINDOW_MM / self.spacing[1])
        extents = [self._extent(top, top + window) for top in range(rows[0], rows[-1] + 1, window)]
        return max(LEAST_WIDTH_MM, *(extent[1] - extent[0] for extent in extents if extent is not None))

    def _canal_middle(self, left: float, right: float) -> float:
        """Return the canal's middle: if one of its sides is cut, half a width from the other."""
        low, high = self._ends
        open_left, open_right = left <= low, right >= high
        if open_left and not open_right:
            return right - self._width / 2
        if open_right and not open_left:
            return left + self._width / 2
        return (left + right) / 2
