"""A voxel grid in space, and which of its axes runs right to left, downwards and backwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, TypeVar

import numpy as np

# Rows: the canonical axes (leftwards, downwards, backwards: nibabel's LIP) in LPS coordinates.
CANONICAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
LETTERS = ("RL", "SI", "AP")  # where a canonical axis comes from and where it leads
# A small, generic preference among directions in space. It decides ties, as at 45 degrees, by where the
# axes point and never by their order in the file, so flipped and permuted copies get the same answer.
PREFERENCE = 1e-3 * np.array([[0.61, 0.23, -0.37], [0.41, 0.83, 0.29], [-0.53, 0.17, 0.71]])
TOLERANCE_MM = 0.1
SPACING_MM = (0.05, 50.0)  # beyond, a header's unit is not the one that it states
MOST_MM = 2500.0  # that a scan covers along one axis, more than a whole body
# Axes of slices: so many times coarser than both others (no figure that a protocol would give). Such a stack is
# sagittal up to this angle between its normal and the right-left axis, though another patient axis may be nearer.
COARSER = 1.37
SAGITTAL_DEGREES = 65.0

T = TypeVar("T")


@dataclass(frozen=True)
class Geometry:
    """A file's own grid in SimpleITK's terms: LPS millimetres.

    Attributes:
        size: Voxels along the file's axes (i, j, k).
        spacing: Millimetres between voxel centres along the same axes.
        origin: LPS position of the centre of voxel (0, 0, 0), in mm.
        direction: Nine direction cosines, row-major; column f is where file axis f points. Columns have
            unit length and need not be at right angles.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def from_affine(cls, size: tuple[int, int, int], affine: np.ndarray) -> Geometry:
        """Build the grid of a 4x4 matrix from index (i, j, k) to LPS mm."""
        columns = np.asarray(affine, dtype=np.float64)[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)  # (3,) mm
        unit = columns / np.where(spacing > 0, spacing, 1.0)
        return cls(size, triple(spacing), triple(affine[:3, 3]), tuple(float(x) for x in unit.ravel()))

    def affine(self) -> np.ndarray:
        """Return the 4x4 matrix from index (i, j, k) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.directions() * self.spacing
        matrix[:3, 3] = self.origin
        return matrix

    def directions(self) -> np.ndarray:
        """Return the direction cosines, shape (3, 3), one column per file axis."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    def corners(self) -> np.ndarray:
        """Return the LPS positions of the eight outermost voxel centres, shape (8, 3), in mm."""
        ends = np.array(list(product(*((0, n - 1) for n in self.size))), dtype=np.float64)  # (8, 3)
        return ends @ self.affine()[:3, :3].T + self.origin

    def displacement(self, other: Geometry) -> float:
        """Return the largest distance in mm between the same corners of two grids of one size."""
        return float(np.linalg.norm(self.corners() - other.corners(), axis=1).max())

    def same_grid(self, other: Geometry, tolerance_mm: float = TOLERANCE_MM) -> bool:
        """Return whether both have the same size and no voxel lies further apart than the tolerance."""
        return self.size == other.size and self.displacement(other) <= tolerance_mm

    def difference(self, other: Geometry, tolerance_mm: float = TOLERANCE_MM) -> str | None:
        """Return in words what differs, or None where `same_grid` holds."""
        if self.size != other.size:
            return f"size {_joined(self.size, 'd')} against {_joined(other.size, 'd')}"
        if self.same_grid(other, tolerance_mm):
            return None
        differences = []
        if not np.allclose(self.spacing, other.spacing, rtol=0, atol=tolerance_mm / max(self.size)):
            differences.append(f"spacing {_joined(self.spacing, '.4g')} against {_joined(other.spacing, '.4g')} mm")
        turn = np.degrees(np.abs(self.directions() - other.directions()).max())
        if turn > 0.01:
            apart = f", {turn:.2g} degrees apart" if turn < 10 else ""
            differences.append(f"directions {self.orientation} against {other.orientation}{apart}")
        shift = float(np.linalg.norm(np.subtract(self.origin, other.origin)))
        if shift > tolerance_mm:
            differences.append(f"origin {shift:.3g} mm apart")
        return ", ".join(differences) or f"voxels up to {self.displacement(other):.3g} mm apart"

    def problem(self) -> str | None:
        """Return why no scan can have this grid, or None."""
        if min(self.size) < 1:
            return f"its size is {_joined(self.size, 'd')}"
        if not np.isfinite([*self.spacing, *self.origin, *self.direction]).all():
            return "its spacing, origin or directions are not finite"
        lowest, highest = SPACING_MM
        if min(self.spacing) < lowest or max(self.spacing) > highest:
            return f"its spacing is {_joined(self.spacing, '.4g')} mm, not within {lowest:g} to {highest:g} mm"
        if max(n * mm for n, mm in zip(self.size, self.spacing, strict=True)) > MOST_MM:
            return f"{_joined(self.size, 'd')} voxels of {_joined(self.spacing, '.4g')} mm are longer than a person"
        if abs(np.linalg.det(self.directions())) < 1e-3:
            return "two of its axes point the same way"
        return None

    def skew(self) -> float:
        """Return by how many degrees two axes miss being at right angles, at worst."""
        cosines = self.directions().T @ self.directions() - np.eye(3)
        return float(np.degrees(np.arcsin(min(1.0, np.abs(cosines).max()))))

    def canonical_axes(self) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """Find the file axes nearest to right-left, superior-inferior and anterior-posterior.

        Where voxels tell which axis the slices lie along, a sagittal stack stays one however it is tilted, up to
        `SAGITTAL_DEGREES`.

        Returns:
            `axes` and `flips`: canonical axis a is file axis `axes[a]`, reversed where `flips[a]`.
        """
        cosines = CANONICAL @ self.directions()  # (canonical axis, file axis)

        def aligned(axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
            chosen = cosines[:, axes]  # (3, 3): column a is the direction of canonical axis a
            signs = np.where(np.diagonal(chosen) < 0, -1.0, 1.0)
            return chosen * signs, signs

        def nearness(axes: tuple[int, ...]) -> float:
            matrix, _ = aligned(axes)
            return float(np.trace(matrix) + (PREFERENCE * matrix).sum())

        slices = self._sagittal_axis(cosines)
        best = max((axes for axes in permutations(range(3)) if slices in (None, axes[0])), key=nearness)
        flips = aligned(best)[1] < 0
        return (best[0], best[1], best[2]), (bool(flips[0]), bool(flips[1]), bool(flips[2]))

    def _sagittal_axis(self, cosines: np.ndarray) -> int | None:
        """Return the file axis along which sagittal slices are stacked, None where voxels do not tell."""
        slices = int(np.argmax(self.spacing))
        finer = [spacing for axis, spacing in enumerate(self.spacing) if axis != slices]
        if self.spacing[slices] < COARSER * max(finer):
            return None
        return slices if abs(cosines[0, slices]) >= np.cos(np.radians(SAGITTAL_DEGREES)) else None

    def canonical(self) -> Geometry:
        """Return the same voxels' grid with canonical axes: slices, rows, columns."""
        axes, flips = self.canonical_axes()
        columns = self.affine()[:3, :3]  # (3, 3) mm per voxel along each file axis
        origin = np.array(self.origin)  # (3,) mm
        for axis, flip in zip(axes, flips, strict=True):
            origin += (self.size[axis] - 1) * columns[:, axis] * flip
        directions = self.directions()[:, axes] * np.where(flips, -1.0, 1.0)
        return Geometry(
            _permuted(self.size, axes),
            _permuted(self.spacing, axes),
            triple(origin),
            tuple(float(x) for x in directions.ravel()),
        )

    @property
    def orientation(self) -> str:
        """Return where the file's axes lead, in SimpleITK's letters: "LPS" is the identity."""
        axes, flips = self.canonical_axes()
        letters = ["", "", ""]
        for canonical, axis in enumerate(axes):
            letters[axis] = LETTERS[canonical][0 if flips[canonical] else 1]
        return "".join(letters)


def three(values: Iterable[T]) -> tuple[T, T, T]:
    """Return three values, along the three axes, as a tuple."""
    first, second, third = values
    return first, second, third


def triple(values: Any) -> tuple[float, float, float]:
    """Turn three numbers of any kind into a tuple of floats."""
    first, second, third = (float(value) for value in values)
    return first, second, third


def _permuted(values: tuple[Any, Any, Any], axes: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    return values[axes[0]], values[axes[1]], values[axes[2]]


def _joined(values: tuple[Any, ...], form: str) -> str:
    return " x ".join(format(value, form) for value in values)
