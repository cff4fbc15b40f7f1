from __future__ import annotations

import numpy as np
import pytest

from autospine.preprocessing.transforms.wavelets import denoise_wavelets, noise_deviation


def squares(slices: int = 3) -> np.ndarray:
    image = np.zeros((slices, 128, 96), np.float32)
    image[:, 30:90, 20:70] = 100
    image[:, 50:60, 30:40] = 40
    return image


@pytest.mark.parametrize("sigma", [0.5, 5.0, 20.0])
def test_the_noise_of_each_slice_is_measured(sigma: float) -> None:
    scale = np.array([1.0, 2.0, 0.5])
    noise = np.random.default_rng(0).normal(size=(3, 128, 96)) * sigma * scale[:, None, None]
    assert noise_deviation(squares() + noise) == pytest.approx(sigma * scale, rel=0.08)


def test_an_even_background_does_not_hide_the_noise_of_the_body() -> None:
    image = np.zeros((1, 256, 256))
    image[:, 100:160, 100:160] = 100 + np.random.default_rng(0).normal(0, 5, (60, 60))
    assert noise_deviation(image) == pytest.approx([5], rel=0.3)


def test_without_noise_there_is_none() -> None:
    assert noise_deviation(np.full((2, 40, 40), 1e4, np.float32)).tolist() == [0, 0]


def test_denoising_as_scikit_image_does() -> None:
    """One slice, the same wavelet and noise: both choose thresholds band by band."""
    from skimage.restoration import denoise_wavelet

    noisy = (squares(1) + np.random.default_rng(0).normal(0, 8, (1, 128, 96))).astype(np.float32)
    ours = denoise_wavelets(noisy, np.array([8.0]), 3)
    theirs = denoise_wavelet(
        noisy[0], 8.0, "db4", mode="soft", wavelet_levels=3, method="BayesShrink", rescale_sigma=False
    )
    assert np.abs(ours[0] - theirs).max() < 1e-3


def test_slices_are_denoised_one_by_one() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 128, 96)) * np.array([1, 10, 30])[:, None, None]
    noisy, sigma = (squares() + noise).astype(np.float32), np.array([1.0, 10, 30])
    whole = denoise_wavelets(noisy, sigma, 4)
    alone = [denoise_wavelets(noisy[k : k + 1], sigma[k : k + 1], 4)[0] for k in range(3)]
    assert np.array_equal(whole, np.stack(alone))
