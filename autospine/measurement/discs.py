"""The shape of a disc: the surfaces that bound it, from its own mask or from the endplates beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.measurement.bodies import Body
from autospine.measurement.contours import Contours, find_contours, fit_curve
from autospine.measurement.frames import BACK, Frame, make_frame
from autospine.measurement.instances import Instance

HEIGHT_POSITIONS = (0.125, 0.5, 0.875)  # of the depth: where the heights are measured
BAND_MM = 10.0
ITERATIONS = 3
LEAST_VOXELS = 30
FACING, END_MM = 0.8, 2.0  # cosine of a contour that faces an end of the disc, this near to its furthest point


@dataclass(frozen=True)
class Disc:
    """A disc in its own mid-sagittal plane.

    Attributes:
        heights: Anterior, middle and posterior, mm.
        deviations: Their standard deviations.
        depth: From front to back, mm.
        centre: Its middle in grid coordinates, (3,).
        ends: The heights' end points in grid coordinates, (3, 2, 3): below and above.
        source: "disc" or "endplates".
    """

    heights: tuple[float, float, float]
    deviations: tuple[float, float, float]
    depth: float
    centre: np.ndarray
    ends: np.ndarray
    source: str

    @property
    def dabbs(self) -> float:
        """Return Dabbs's disc height: the mean of the anterior and the posterior one, mm."""
        return (self.heights[0] + self.heights[2]) / 2

    @property
    def farfan(self) -> float:
        """Return Farfan's index: the sum of the anterior and the posterior height over the depth."""
        return (self.heights[0] + self.heights[2]) / self.depth


def fit_disc(instance: Instance, up: np.ndarray, back: np.ndarray = BACK, middle: float | None = None) -> Disc | None:
    """Measure a disc on its own mask.

    Args:
        instance: The disc.
        up: Roughly its cranial direction, (3,); the fit refines it.
        back: Roughly its posterior direction.
        middle: x of its mid-sagittal plane in mm; None: its voxels' centre.

    Returns:
        The disc, or None where the mask is too small or too thin.
    """
    if instance.voxels < LEAST_VOXELS:
        return None
    contours, band = find_contours(instance), max(BAND_MM, 1.01 * instance.spacing[0])
    frame, disc = make_frame(instance.middle_point(middle), up, back), None
    for _ in range(ITERATIONS):
        disc = _fit_surfaces(frame, contours, band, instance.pixel)
        if disc is None:
            return None
        axis = disc.ends.mean(axis=1)  # (3, 3): points halfway between the surfaces, from the front to the back
        frame = make_frame(frame.origin, np.cross(frame.axes[0], axis[2] - axis[0]), back)
    return disc


def _fit_surfaces(frame: Frame, contours: Contours, band: float, pixel: float) -> Disc | None:
    local = frame.local(contours.points)
    inside = np.abs(local[:, 0]) <= band
    u, v, w = local[inside].T
    normals = contours.normals[inside] @ frame.axes.T
    if len(u) < LEAST_VOXELS / 2:
        return None
    faces_endplate = np.abs(normals[:, 2]) > np.abs(normals[:, 1])
    top, bottom = (
        fit_curve(v[chosen], u[chosen], w[chosen], pixel)
        for chosen in (faces_endplate & (normals[:, 2] > 0), faces_endplate & (normals[:, 2] < 0))
    )
    if top is None or bottom is None:
        return None
    slices = contours.points[inside][:, 0]
    first, last = (_extent_at_middle(slices, u, v, sign * normals[:, 1] > FACING, sign) for sign in (-1, 1))
    positions = first + np.array(HEIGHT_POSITIONS) * (last - first)
    heights = top.at(positions) - bottom.at(positions)
    if last - first <= 0 or heights.min() <= 0:
        return None
    # Where the surfaces run together, towards the rims, a height also depends on where along the disc it is measured.
    slopes = (top.at(positions + 1) - bottom.at(positions + 1) - top.at(positions - 1) + bottom.at(positions - 1)) / 2
    fitted = np.array([np.hypot(top.deviation(p), bottom.deviation(p)) for p in positions])
    deviations = np.hypot(fitted, slopes * pixel / np.sqrt(12)).tolist()
    ends = np.array([[frame.grid(0, p, float(curve.at(p))) for curve in (bottom, top)] for p in positions])
    a, b, c = (float(h) for h in heights)
    return Disc(
        (a, b, c),
        (deviations[0], deviations[1], deviations[2]),
        float(last - first),
        ends[1].mean(axis=0),
        ends,
        "disc",
    )


def _extent_at_middle(slices: np.ndarray, u: np.ndarray, v: np.ndarray, facing: np.ndarray, sign: int) -> float:
    """Return how far a contour reaches to the front (-1) or to the back (1) at u = 0.

    Args:
        slices: Which slice each of the contour's points lies in.
        u: To the left, mm.
        v: To the back.
        facing: Which points face that end.
        sign: Which end.
    """
    middles, extents = [], []
    for x in np.unique(slices):
        in_slice = slices == x
        furthest = (sign * v[in_slice]).max()
        end = v[in_slice & facing & (sign * v > furthest - END_MM)]
        middles.append(float(np.median(u[in_slice])))
        extents.append(float(end.mean() if len(end) else sign * furthest))
    if len(middles) < 3:
        return extents[int(np.abs(middles).argmin())]
    matrix = np.column_stack([np.ones(len(middles)), np.square(middles)])
    return float(np.linalg.lstsq(matrix, np.array(extents), rcond=None)[0][0])


def disc_between(lower: Body, upper: Body) -> Disc | None:
    """Measure the room between two vertebrae's endplates where a disc has no mask of its own."""
    below, above = lower.frame, upper.frame
    anterior = (below.grid(0, *lower.upper.anterior) + above.grid(0, *upper.lower.anterior)) / 2
    posterior = (below.grid(0, *lower.upper.posterior) + above.grid(0, *upper.lower.posterior)) / 2
    depth = float(np.linalg.norm(posterior - anterior))
    left = below.axes[0] + above.axes[0]
    frame = make_frame(anterior, np.cross(left, posterior - anterior), posterior - anterior)
    ends = np.empty((3, 2, 3))
    heights, deviations = [], []
    for k, share in enumerate(HEIGHT_POSITIONS):
        of_both = []
        for side, (body, curve) in enumerate(((lower, lower.top), (upper, upper.bottom))):
            v = np.linspace(curve.low, curve.high, 200)
            points = body.frame.origin + np.column_stack([0 * v, v, curve.at(v)]) @ body.frame.axes
            local = frame.local(points)
            w = float(np.interp(share * depth, local[:, 1], local[:, 2]))
            ends[k, side] = frame.grid(0, share * depth, w)
            of_both.append(curve.deviation(float(np.interp(share * depth, local[:, 1], v))))
        heights.append(float((ends[k, 1] - ends[k, 0]) @ frame.axes[2]))
        deviations.append(float(np.hypot(of_both[0], of_both[1])))
    if min(heights) <= 0:
        return None
    a, b, c = heights
    return Disc(
        (a, b, c), (deviations[0], deviations[1], deviations[2]), depth, ends[1].mean(axis=0), ends, "endplates"
    )
