from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine import volumes
from autospine.phantom.case import make_case
from autospine.phantom.series import Size
from autospine.preprocessing.transforms.base import CaseData, apply_transforms, invert_transforms
from autospine.preprocessing.transforms.body import OtsuCrop, body_window

SPACING = (4.0, 1.0, 2.0)


def body() -> np.ndarray:
    """Muscle with a bright strip of fat in noisy air, and a bright marker away from it."""
    random = np.random.default_rng(0)
    image = np.abs(random.normal(0, 2, (6, 60, 50))).astype(np.float32)
    image[:, 10:50, 12:40] += 40
    image[:, 10:50, 36:40] += 160
    image[:, 3:6, 3:6] += 250
    return image


def test_the_body_is_muscle_and_fat_without_air_and_marker() -> None:
    assert body_window(body()) == (slice(0, 6), slice(10, 50), slice(12, 40))


@pytest.mark.parametrize(
    ("view", "expected"), [(0, (6, 50, 34)), (1, (6, 60, 34)), (2, (6, 50, 50)), (None, (6, 50, 34))]
)
def test_the_margin_is_in_mm_and_slices_of_the_view_stay(view: int | None, expected: tuple[int, ...]) -> None:
    image = body()
    mask = np.zeros(image.shape, np.uint8)
    mask[2:4, 20:30, 20:30] = 7
    case, way = apply_transforms([OtsuCrop(margin=5)], CaseData(image[None], mask, SPACING, (1, 2), view))
    assert case.shape == expected
    assert case.slices == (None if view is None else (1, 2))
    assert case.mask is not None
    assert np.count_nonzero(case.mask) == np.count_nonzero(mask)
    back = invert_transforms(way, (case.mask == 7)[None].astype(np.float32), np.array([-1.0], np.float32))
    assert np.array_equal(back[0] == 1, mask == 7)
    assert np.count_nonzero(back == -1) == image.size - case.image.size


def test_thin_images() -> None:
    for shape in ((1, 8, 8), (1, 1, 1), (1, 1, 2)):
        image = np.zeros(shape, np.float32)
        assert body_window(image) == tuple(slice(0, n) for n in shape)
        image[0, 0, -1] = 1
        assert body_window(image)[2] == slice(shape[2] - 1 if image.min() == 0 else 0, shape[2])


def test_nothing_labelled_is_lost_on_phantoms() -> None:
    for index in range(3):
        case = make_case(0, index, Size.SMALL)
        start = CaseData(case.image[None].astype(np.float32), case.labels, (4.0, 1.6, 1.6))
        cropped, _ = apply_transforms([OtsuCrop()], start)
        assert cropped.mask is not None
        assert np.count_nonzero(cropped.mask) == np.count_nonzero(case.labels)


def test_nothing_labelled_is_lost_on_real_scans(real_data: Path) -> None:
    share = []
    for path in sorted(real_data.glob("*/images/*.mha")):
        image, mask = volumes.read_image(path), volumes.read_mask(path.parents[1] / "masks" / path.name)
        case, _ = apply_transforms([OtsuCrop()], CaseData(image.array[None], mask.array, image.spacing))
        assert np.count_nonzero(case.mask) == np.count_nonzero(mask.array), path
        share.append(case.image.size / image.array.size)
    assert np.mean(share) < 0.9


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="margin is -1"):
        OtsuCrop(margin=-1)
