"""Estimate the noise of slices and denoise them by soft thresholds, with the wavelets of PyWavelets."""

from __future__ import annotations

import numpy as np

WAVELET = "db4"
MEDIAN_OF_NORMAL = 0.6744897501960817  # of |x|, at deviation 1
TINY = np.finfo(np.float32).tiny
FLAT = 1e-5  # a coefficient below this share of the slice's largest value is rounding


def noise_deviation(slices: np.ndarray) -> np.ndarray:
    """Estimate the deviation of each slice's white noise from the finest diagonal wavelet coefficients.

    Their median absolute value (Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994) sees
    little of the edges. Coefficients of 0 are left out, since an even background carries no noise.

    Returns:
        `(slices,)` float64 of `(slices, height, width)`; 0 for a constant slice.
    """
    import pywt

    diagonal = np.abs(pywt.dwt2(slices, WAVELET, axes=(1, 2))[1][2])  # (slices, height / 2, width / 2)
    noise = [values[values > FLAT * np.abs(plane).max()] for values, plane in zip(diagonal, slices, strict=True)]
    return np.array([float(np.median(values)) if values.size else 0.0 for values in noise]) / MEDIAN_OF_NORMAL


def denoise_wavelets(slices: np.ndarray, sigma: np.ndarray, levels: int) -> np.ndarray:
    """Apply soft thresholds that suit each level and direction of each slice (BayesShrink).

    The threshold is the noise's variance over the deviation of what is signal (Chang, Yu, Vetterli, "Adaptive wavelet
    thresholding for image denoising and compression", 2000).

    Args:
        slices: `(slices, height, width)` float32.
        sigma: `(slices,)` deviation of their noise.
        levels: Octaves; fewer where the slices are too small.
    """
    import pywt

    levels = min(levels, pywt.dwt_max_level(min(slices.shape[1:]), WAVELET))
    approximation, *details = pywt.wavedec2(slices, WAVELET, level=levels, axes=(1, 2))
    shrunk = [tuple(_shrink(values, sigma) for values in level) for level in details]
    denoised = pywt.waverec2([approximation, *shrunk], WAVELET, axes=(1, 2))
    return denoised[:, : slices.shape[1], : slices.shape[2]]


def _shrink(values: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    power = np.square(values).mean(axis=(1, 2), dtype=np.float64)  # (slices,)
    signal = np.sqrt(np.maximum(power - sigma**2, 0))
    most = np.abs(values).max(axis=(1, 2))
    limit = np.where(signal > TINY, sigma**2 / np.maximum(signal, TINY), most)
    limit = np.minimum(limit, most).astype(values.dtype)[:, None, None]
    return np.sign(values) * np.maximum(np.abs(values) - limit, 0)
