"""Signed distances and painting."""

from __future__ import annotations

import numpy as np

from autospine.phantom.canvas import WHOLE, Axes, Canvas, lattice_noise
from autospine.phantom.render import largest_components, majority_slices, mean_slices
from autospine.phantom.series import generator
from autospine.phantom.shapes import ellipsoid, highest, rod
from autospine.phantom.spine import sample_spine, tilted

AXES = Axes(
    np.arange(-12, 13, 2, dtype=np.float32),
    np.arange(15, -16, -1, dtype=np.float32),
    np.arange(-15, 16, dtype=np.float32),
)


def test_rod_of_equal_radii_is_a_capsule() -> None:
    p = AXES.points(WHOLE)
    distance = rod(p, (0, -5, 0), (0, 5, 0), (3, 3, 3))
    x, y, z = np.broadcast_arrays(*p)
    oracle = np.sqrt(x**2 + z**2 + np.maximum(np.abs(y) - 5, 0) ** 2) - 3
    assert np.allclose(distance, oracle, atol=1e-4)


def test_painted_ball_has_its_volume() -> None:
    canvas = Canvas(AXES.refine(2, slice(None)), np.zeros((26, 31, 31), np.float32))
    canvas.paint(WHOLE, ellipsoid(canvas.axes.points(WHOLE), (0, 0, 0), (8, 8, 8)), 1.0)
    assert abs(canvas.value.sum() / (4 / 3 * np.pi * 8**3) - 1) < 0.02


def test_frame_and_axes_agree() -> None:
    frame = tilted(np.array([1.0, 2.0, 3.0]), 20, -7, 4)
    assert np.allclose(frame.axes @ frame.axes.T, np.eye(3))
    assert frame.axes[2] @ np.array([0, -1, 0]) > 0.3  # leans forward
    box = AXES.box((-4, -3, 0), (4, 5, 6))
    assert box is not None
    u, v, w = AXES.local(box, frame)
    back = frame.world(float(u[1, 2, 3]), float(v[1, 2, 3]), float(w[1, 2, 3]))
    wanted = (AXES.x[box[0]][1], AXES.y[box[2]][3], AXES.z[box[1]][2])
    assert np.allclose(back, wanted, atol=1e-4)


def test_box_outside_is_none() -> None:
    assert AXES.box((100, 0, 0), (110, 1, 1)) is None


def test_thick_slices_average_and_vote() -> None:
    labels = np.array([1, 2, 2, 3, 1, 0], np.uint8).reshape(6, 1, 1)
    assert majority_slices(labels, 3).ravel().tolist() == [2, 1]  # a tie: the middle one
    values = np.arange(6, dtype=np.float32).reshape(6, 1, 1)
    assert mean_slices(values, 3).ravel().tolist() == [1, 4]


def test_clean_keeps_the_largest_piece() -> None:
    labels = np.zeros((1, 1, 9), np.uint8)
    labels[0, 0, [0, 3, 4, 5, 7]] = (4, 4, 4, 4, 9)
    assert largest_components(labels).ravel().tolist() == [0, 0, 0, 4, 4, 4, 0, 9, 0]


def test_noise_has_unit_spread() -> None:
    noise = lattice_noise(generator(1), AXES, (3, 2, 2))
    assert noise.dtype == np.float32 and noise.shape == AXES.shape
    assert 0.6 < noise.std() < 1.4 and abs(noise.mean()) < 0.2


def test_spines_are_lordotic_and_rise() -> None:
    for seed in range(20):
        spine = sample_spine(generator(seed), 9)
        heights = [v.frame.origin[2] for v in spine.vertebrae]
        assert heights == sorted(heights) and 4 <= spine.lumbar <= 6
        lean = [-v.frame.axes[2][1] for v in spine.vertebrae]
        assert lean[0] > lean[2] > lean[4]
        assert [v.thoracic for v in spine.vertebrae] == [k >= spine.lumbar for k in range(9)]
        assert all(highest(v) > v.frame.origin[2] + v.height / 2 - 8 for v in spine.vertebrae)
        assert spine.sacrum[0].frame.origin[2] < 0 < spine.vertebrae[0].frame.origin[2]
