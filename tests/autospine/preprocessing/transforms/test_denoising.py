from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.phantom import case as phantom
from autospine.phantom.series import Size
from autospine.preprocessing.transforms import denoising
from autospine.preprocessing.transforms.denoising import ShearletDenoise, WaveletDenoise
from tests.transforms import noise_case

LEVELS = (0.01, 0.02, 0.05, 0.1)  # of the range of intensities


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """`(1, slices, rows, columns)` middle slices of a phantom as fine as clinical scans, without noise."""
    scanner = phantom.sample_scanner
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "sample_scanner", lambda *given: replace(scanner(*given), noise=0.0))
        image = phantom.make_case(3, 0, Size.FULL).image.astype(np.float32)
    middle = len(image) // 2
    return image[None, middle - 1 : middle + 2]


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.square(image - truth, dtype=np.float64).mean()))


@pytest.mark.parametrize("level", LEVELS)
def test_shearlets_beat_wavelets_with_the_same_estimate_of_the_noise(clean: np.ndarray, level: float) -> None:
    noise = np.random.default_rng(0).normal(0, level * np.ptp(clean), clean.shape)
    noisy = (clean + noise).astype(np.float32)
    shearlets, wavelets = (psnr(step.change(noisy), clean) for step in (ShearletDenoise(), WaveletDenoise()))
    assert shearlets >= wavelets > psnr(noisy, clean)


@pytest.mark.parametrize("step", [ShearletDenoise(), WaveletDenoise()])
def test_a_clean_image_is_nearly_unchanged(clean: np.ndarray, step: ShearletDenoise | WaveletDenoise) -> None:
    assert psnr(step.change(clean), clean) > 55


@pytest.mark.parametrize("step", [ShearletDenoise(), WaveletDenoise()])
def test_blocks_do_not_show(step: ShearletDenoise | WaveletDenoise, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise_case((7, 40, 33)).image
    whole = step.change(image)
    monkeypatch.setattr(denoising, "BLOCK", 3 * 40 * 33)
    assert step.change(image) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("step", [ShearletDenoise(), WaveletDenoise()])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 1), (2, 1, 30), (3, 33, 2)])
def test_tiny_slices(step: ShearletDenoise | WaveletDenoise, shape: tuple[int, int, int]) -> None:
    case = step.apply(noise_case(shape))
    assert case.shape == shape
    assert np.isfinite(case.image).all()


@pytest.mark.parametrize(
    ("kind", "numbers", "problem"),
    [
        (ShearletDenoise, {"scales": 0}, "scales is 0"),
        (ShearletDenoise, {"directions": 2.5}, "directions is 2.5"),
        (ShearletDenoise, {"scales": float("inf")}, "scales is inf"),
        (ShearletDenoise, {"finest": -1}, "finest is -1"),
        (WaveletDenoise, {"levels": 0}, "levels is 0"),
    ],
)
def test_impossible_numbers_are_refused(kind: type, numbers: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        kind(**numbers)
