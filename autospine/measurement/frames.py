"""A structure's own position and directions, and angles between lines of several of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_, BACK, UP = np.eye(3)


@dataclass(frozen=True)
class Frame:
    """A structure's own coordinate system: u to the left, v to the back, w up.

    Attributes:
        origin: (3,) mm in grid coordinates (x, y, z).
        axes: (3, 3); rows are u, v and w in grid coordinates.
    """

    origin: np.ndarray
    axes: np.ndarray

    def local(self, points: np.ndarray) -> np.ndarray:
        """Return grid points (points, 3) in the frame's coordinates."""
        return (points - self.origin) @ self.axes.T

    def grid(self, *point: float) -> np.ndarray:
        """Return a local point in grid coordinates, (3,)."""
        return self.origin + np.asarray(point) @ self.axes

    def direction(self, *components: float) -> np.ndarray:
        """Return a local direction in grid coordinates, (3,), of length 1."""
        vector = np.asarray(components) @ self.axes
        return vector / np.linalg.norm(vector)


def make_frame(origin: np.ndarray, up: np.ndarray, back: np.ndarray) -> Frame:
    """Return the frame with the w axis along `up` and the v axis as near to `back` as possible."""
    w = up / np.linalg.norm(up)
    v = back - (back @ w) * w
    v = v / np.linalg.norm(v)
    return Frame(np.asarray(origin, dtype=float), np.array([np.cross(v, w), v, w]))


def sagittal_tilt(line: np.ndarray, left: np.ndarray, up: np.ndarray) -> float:
    """Return by how many degrees a line rises to the back, seen from the side.

    Args:
        line: Direction to the back, (3,).
        left: Normal of the sagittal plane, to the left, (3,).
        up: The vertical direction, (3,).
    """
    left = left / np.linalg.norm(left)
    vertical = up - (up @ left) * left
    vertical = vertical / np.linalg.norm(vertical)
    return float(np.degrees(np.arctan2(line @ vertical, line @ np.cross(vertical, left))))


def coronal_tilt(line: np.ndarray, up: np.ndarray) -> float:
    """Return by how many degrees a line to the left rises to the left, seen from the front."""
    return float(np.degrees(np.arctan2(line @ up, np.linalg.norm(line - (line @ up) * up))))
