"""The spinal canal: diameter and area across its own axis, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

from autospine.measurement.frames import BACK, make_frame

SMOOTHING_MM = 6.0  # of the axis
REACH_MM, STEP_MM = 25.0, 0.25  # to the front and the back of the axis
THICKNESS_MM = 4.0  # along the axis: a section is the mean over it
LAYERS = 5
END_MM = 6.0  # a section needs so much canal above and below it
CENTRAL_SHARE = 0.65  # of the half width: slices that determine the mid-sagittal diameter


@dataclass(frozen=True)
class Section:
    """A cut across the canal.

    Attributes:
        diameter: Mid-sagittal, from front to back, mm.
        deviation: Of the diameter.
        area: mm2.
        front: Where the diameter begins, in grid coordinates, (3,).
        back: Where it ends.
    """

    diameter: float
    deviation: float
    area: float
    front: np.ndarray
    back: np.ndarray


@dataclass(frozen=True)
class Canal:
    """A canal's mask with its axis.

    Attributes:
        mask: Boolean (slices, rows, columns).
        spacing: mm along each axis.
        axis: Points (rows, 3) in grid coordinates, from the top down, one for each row that shows the canal.
    """

    mask: np.ndarray
    spacing: tuple[float, float, float]
    axis: np.ndarray

    def nearest(self, centre: np.ndarray, up: np.ndarray) -> int:
        """Return the axis point at which the plane through a level's centre, normal to `up`, cuts it."""
        displacement = self.axis - centre
        in_reach = np.linalg.norm(displacement, axis=1) <= 2 * REACH_MM
        return int(np.argmin(np.where(in_reach, np.abs(displacement @ up), np.inf)))

    def section(self, centre: np.ndarray, up: np.ndarray) -> Section | str:
        """Return the section behind a level's centre (3,), or why there is none."""
        index = self.nearest(centre, up)
        origin = self.axis[index]
        if np.linalg.norm(origin - centre) > 2 * REACH_MM:
            return "the canal is not labelled here"
        if min(np.linalg.norm(origin - self.axis[end]) for end in (0, -1)) < END_MM:
            return "the canal's label ends here"
        reach = max(1, round(END_MM / self.spacing[1]))
        tangent = self.axis[max(index - reach, 0)] - self.axis[min(index + reach, len(self.axis) - 1)]
        frame = make_frame(origin, tangent, BACK)
        return self._cut(frame.origin, frame.axes[1], frame.axes[2])

    def _cut(self, origin: np.ndarray, back: np.ndarray, up: np.ndarray) -> Section | str:
        across = np.arange(-REACH_MM, REACH_MM + STEP_MM / 2, STEP_MM)
        along = np.linspace(-THICKNESS_MM / 2, THICKNESS_MM / 2, LAYERS)
        slices = np.arange(self.mask.shape[0])
        x = slices * self.spacing[0] - origin[0]
        # Within each slice: the cutting plane's own line, tilted as the axis is.
        lines = (
            origin + across[:, None, None] * _within_slice(back) + along[None, :, None] * _within_slice(up)
        )  # (n, layers, 3)
        shift = -x * up[0] / max(up[2], 0.3)  # where the plane cuts a slice to the side of the axis
        rows = -(lines[None, ..., 2] + shift[:, None, None]) / self.spacing[1]
        columns = np.broadcast_to(lines[None, ..., 1] / self.spacing[2], rows.shape)
        slice_indices = np.broadcast_to(slices[:, None, None], rows.shape)
        covered = map_coordinates(self.mask.astype(np.float32), (slice_indices, rows, columns), order=1).mean(axis=2)
        chords = covered.sum(axis=1) * STEP_MM  # (slices,) mm
        area = float(chords.sum() * self.spacing[0])
        if area <= 0:
            return "the canal is not labelled here"
        middle = float((chords * x).sum() / chords.sum())
        half_width = 2 * area / (np.pi * max(chords.max(), 1e-6))  # of an ellipse
        central = (np.abs(x - middle) <= max(CENTRAL_SHARE * half_width, self.spacing[0] / 2)) & (chords > 0)
        if not central.any():
            return "the canal is not labelled here"
        offset = x[central] - middle
        if central.sum() >= 3:  # an ellipse's chords: their squares fall with the square of the distance
            fit, *_ = np.linalg.lstsq(
                np.column_stack([np.ones(central.sum()), offset**2]), chords[central] ** 2, rcond=None
            )
            diameter = float(np.sqrt(max(fit[0], 0.0)))
        else:
            diameter = float(chords[central][np.abs(offset).argmin()])
        nearest = int(np.flatnonzero(central)[np.abs(offset).argmin()])
        centre = float((covered[nearest] * across).sum() / covered[nearest].sum())
        middle_point = origin + np.array([x[nearest], 0, shift[nearest]]) + centre * _within_slice(back)
        radius = diameter / 2 * _within_slice(back)
        pixel = max(self.spacing[1], self.spacing[2])
        deviation = float(np.sqrt(pixel**2 / 6 / np.sqrt(central.sum() * LAYERS / 2)))
        return Section(diameter, deviation, area, middle_point - radius, middle_point + radius)


def _within_slice(direction: np.ndarray) -> np.ndarray:
    """Return a direction within its sagittal slice, of length 1."""
    projected = direction * np.array([0.0, 1.0, 1.0])
    return projected / np.linalg.norm(projected)


def find_canal(mask: np.ndarray, spacing: Sequence[float]) -> Canal | None:
    """Find a canal's axis; None without at least two rows of it."""
    rows = np.flatnonzero(mask.any(axis=(0, 2)))
    if len(rows) < 2:
        return None
    labelled = mask[:, rows]
    count = labelled.sum(axis=(0, 2))
    x = (labelled.sum(axis=2) * np.arange(mask.shape[0])[:, None]).sum(axis=0) / count * spacing[0]
    y = (labelled.sum(axis=0) * np.arange(mask.shape[2])).sum(axis=1) / count * spacing[2]
    z = -rows * spacing[1]
    smooth = [_smooth(values, SMOOTHING_MM / spacing[1]) for values in (x, y)]
    slice_mm, row_mm, column_mm = spacing
    return Canal(mask, (slice_mm, row_mm, column_mm), np.column_stack([*smooth, z]))


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Smooth a line, reflected oddly at its ends so that they are not bent."""
    reach = min(round(4 * width), len(values) - 1)
    before, after = 2 * values[0] - values[reach:0:-1], 2 * values[-1] - values[-2 : -reach - 2 : -1]
    smoothed = gaussian_filter1d(np.concatenate([before, values, after]), width, mode="nearest")
    return smoothed[reach : reach + len(values)]
