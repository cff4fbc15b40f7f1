from __future__ import annotations

import numpy as np
import pytest

from autospine.labels.conversion import get_scheme
from autospine.overlay.colours import colour_of
from autospine.viewer.pictures import LONGEST, draw_slice, find_window, picture_size

SCHEME = get_scheme("spider")


def colour(label: int) -> list[int]:
    return [round(255 * part) for part in colour_of(SCHEME.anatomies[label])]


@pytest.mark.parametrize(
    ("shape", "spacing", "size"),
    [
        ((100, 100), (1.0, 1.0), (LONGEST, LONGEST)),
        ((100, 100), (2.0, 1.0), (LONGEST, LONGEST // 2)),
        ((40, 120), (3.0, 2.0), (LONGEST // 2, LONGEST)),
        ((1000, 1), (1.0, 0.1), (LONGEST, 1)),
    ],
)
def test_pixels_are_square(shape: tuple, spacing: tuple, size: tuple) -> None:
    assert picture_size(shape, spacing) == size
    pictures = draw_slice(np.zeros(shape), np.zeros(shape, np.uint8), spacing, (0, 1), SCHEME)
    assert pictures.scan.shape == pictures.mask.shape == (*size, 3)


def test_labels_have_their_colours_where_they_lie_over_the_dimmed_scan() -> None:
    image = np.full((72, 72), 100.0)
    labels = np.zeros((72, 72), np.uint8)
    labels[10:20, 30:50], labels[40:44, :36] = 1, 201
    pictures = draw_slice(image, labels, (1.0, 1.0), (0, 100), SCHEME)
    assert (pictures.scan == 255).all()
    assert (pictures.mask[100:200, 300:500] == colour(1)).all()
    assert (pictures.mask[400:440, :360] == colour(201)).all()
    plain = np.repeat(np.repeat(labels, 10, 0), 10, 1) == 0
    assert (pictures.mask[plain] == 89).all()  # 0.35 of white


def test_the_scan_keeps_its_sides_and_its_darkest_and_brightest() -> None:
    image = np.tile(np.linspace(-50, 250, 60), (60, 1))
    scan = draw_slice(image, np.zeros((60, 60), np.uint8), (1.0, 1.0), (0, 200), SCHEME).scan
    assert scan[:, 0].max() == 0
    assert scan[:, -1].min() == 255
    assert 120 <= scan[300, 360, 0] <= 136


def test_the_window_leaves_out_what_is_rare_and_is_never_empty() -> None:
    image = np.random.default_rng(0).uniform(0, 100, (10, 100, 100))
    image[0, 0, 0] = 1e6
    low, high = find_window(image)
    assert 0 < low < 2
    assert 98 < high < 100
    assert find_window(np.full((2, 3, 4), 7.0)) == pytest.approx((7.0, 7.000001))


def test_voxels_that_nobody_labelled_stay_plain() -> None:
    from dataclasses import replace

    labels = np.full((10, 10), 255, np.uint8)
    pictures = draw_slice(np.ones((10, 10)), labels, (1.0, 1.0), (0, 1), replace(SCHEME, ignore_label=255))
    assert (pictures.mask == 89).all()
