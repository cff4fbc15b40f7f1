from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.preprocessing.transforms.intensity import (
    AdaptiveHistogram,
    IntensityTransform,
    UnitRange,
    ZScore,
)
from tests.transforms import FILL, intensity_transforms, noise_case, shapes, views


@settings(deadline=None)
@given(shapes, views, intensity_transforms)
def test_only_intensities_change_and_the_way_back_is_empty(
    shape: tuple[int, int, int], view: int | None, step: IntensityTransform
) -> None:
    start = noise_case(shape, view=view)
    case = step.apply(start)
    assert (case.mask is start.mask, case.spacing, case.shape) == (True, start.spacing, start.shape)
    assert step.inverse(start.image, shape, FILL) is start.image


@pytest.mark.parametrize("step", [ZScore(1), UnitRange(2, 98, 1), AdaptiveHistogram(tiles=3)])
@pytest.mark.parametrize("view", [0, 1])
def test_a_slice_of_its_own_is_one_of_the_view(step: IntensityTransform, view: int) -> None:
    start = noise_case((6, 7, 8), view=view)
    whole = step.apply(start).image
    for k in range(start.shape[view]):
        one = np.moveaxis(np.moveaxis(start.image, view + 1, 1)[:, k : k + 1], 1, view + 1)
        alone = step.apply(type(start)(one, None, start.spacing, None, view)).image
        assert np.array_equal(alone, whole.take([k], axis=view + 1))


@settings(deadline=None)
@given(st.floats(-1000, 1000), st.floats(1, 1000))
def test_z_score_of_a_case_and_of_its_slices(shift: float, scale: float) -> None:
    start = noise_case((3, 8, 9))
    moved = type(start)(start.image * np.float32(scale) + np.float32(shift), None, start.spacing)
    for step, axes in ((ZScore(), (1, 2, 3)), (ZScore(per_slice=1), (2, 3))):
        image = step.apply(moved).image
        assert image.mean(axis=axes) == pytest.approx(0, abs=1e-3)
        assert image.std(axis=axes) == pytest.approx(1, abs=0.05)


def test_unit_range_by_percentiles() -> None:
    ramp = np.arange(101, dtype=np.float32).reshape(1, 1, 1, 101)
    start = type(noise_case((1, 1, 1)))(ramp, None, (1.0, 1.0, 1.0))
    assert UnitRange().apply(start).image[0, 0, 0] == pytest.approx(np.arange(101) / 100)
    image = UnitRange(lower=10, upper=60).apply(start).image[0, 0, 0]
    assert image == pytest.approx(np.clip((np.arange(101) - 10) / 50, 0, 1), abs=1e-6)


def test_rounding_is_not_blown_up() -> None:
    image = np.full((1, 2, 30, 30), 1000, np.float32)
    image[0, :, ::2] += np.float32(1e-4)
    start = type(noise_case((1, 1, 1)))(image, None, (1.0, 1.0, 1.0))
    for step in (ZScore(), UnitRange()):
        assert not step.apply(start).image.any()


def test_adaptive_histogram_brings_out_the_dark_half() -> None:
    """Equal texture under a coil that loses three quarters of its signal to the left."""
    texture = np.random.default_rng(0).uniform(0.8, 1.0, (1, 2, 128, 128)).astype(np.float32)
    texture[..., ::16, :] = 0.3
    shaded = texture * np.linspace(0.25, 1, 128, dtype=np.float32)
    start = type(noise_case((1, 1, 1)))(shaded, None, (1.0, 1.0, 1.0))
    image = AdaptiveHistogram(clip=0.05).apply(start).image

    def evenness(values: np.ndarray) -> float:
        return float(values[..., :32].std() / values[..., -32:].std())

    assert image.min() >= 0 and image.max() <= 1
    assert evenness(image) > 1.5 * evenness(shaded)
    weaker = AdaptiveHistogram(clip=0.001).apply(start).image
    assert evenness(weaker) < evenness(image)


@pytest.mark.parametrize(
    ("kind", "numbers", "problem"),
    [
        (UnitRange, {"lower": 60, "upper": 40}, "do not rise"),
        (UnitRange, {"upper": 101}, "do not rise"),
        (UnitRange, {"per_slice": 2}, "per_slice is 2"),
        (ZScore, {"per_slice": -1}, "per_slice is -1"),
        (AdaptiveHistogram, {"clip": 0}, "clip is 0"),
        (AdaptiveHistogram, {"tiles": 2.5}, "tiles is 2.5"),
        (AdaptiveHistogram, {"bins": 0}, "bins is 0"),
    ],
)
def test_impossible_numbers_are_refused(kind: type, numbers: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        kind(**numbers)


def test_slices_for_themselves_take_the_memory_of_the_image_not_several_times_it() -> None:
    image = np.random.default_rng(0).normal(size=(1, 64, 200, 64)).astype(np.float32)
    start = type(noise_case((1, 1, 1)))(image, None, (1.0, 1.0, 1.0), view_axis=1)
    tracemalloc.start()
    try:
        ZScore(per_slice=1).apply(start)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * image.nbytes
