"""Cone-adapted band-limited shearlets: a Parseval frame of images, computed by FFT.

The frequency plane is cut into square coronas, one per octave, and each corona into wedges of equal width in slope. A
wedge's edges are those of Meyer's wavelets, so that the squares of all filters add up to 1 at every frequency. The
filters are even, hence a real image has real coefficients, and the frame is its own inverse. A band that ends below the
highest frequency keeps its coefficients on a smaller grid, without loss.

The construction is that of Guo, Kutyniok, Labate ("Sparse multidimensional representations using anisotropic dilation
and shear operators", 2006) with windows in the slope as in Easley, Labate, Lim ("Sparse directional image
representations using the discrete shearlet transform", 2008); the number of directions doubles every second octave.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from autospine.core.machine import cores

FEWEST_DIRECTIONS = 4


@dataclass(frozen=True, eq=False)
class Band:
    """One filter of the frame."""

    scale: int | None  # octaves below the finest; None for what is left below the coarsest
    size: tuple[int, int]  # odd numbers of rows and columns of its coefficients
    filter: np.ndarray  # `(size[0], size[1] // 2 + 1)` its frequency response, 0 to 1, in `rfft2`'s order
    gain: float  # deviation of its coefficients in white noise of deviation 1


def meyer(x: np.ndarray) -> np.ndarray:
    """Return the auxiliary polynomial of Meyer's wavelets: 0 up to 0, 1 from 1 on, symmetric about (1/2, 1/2)."""
    x = np.clip(x, 0, 1)
    return x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)


def lowpass(radius: np.ndarray, scale: int) -> np.ndarray:
    """Return the lowpass below the corona of a scale: 1 up to a quarter of its upper edge, 0 from half of it on.

    Args:
        radius: The larger of both frequencies, in units of the highest that the grid holds.
        scale: Octaves below the finest; -1 is everything.
    """
    return np.cos(np.pi / 2 * meyer(radius * 2.0 ** (scale + 2) - 1)) if scale >= 0 else np.ones_like(radius)


def slope(vertical: np.ndarray, horizontal: np.ndarray) -> np.ndarray:
    """Return a frequency's direction, 0 to 4: its slope in the horizontal cone, 2 less its inverse in the other."""
    steep = np.abs(vertical) > np.abs(horizontal)
    above, below = np.where(steep, horizontal, vertical), np.where(steep, vertical, horizontal)
    ratio = above / np.where(below == 0, 1, below)
    return np.where(steep, 2 - ratio, ratio) % 4


def wedge(direction: np.ndarray, index: int, count: int) -> np.ndarray:
    """Return one of `count` windows over the directions whose squares add up to 1."""
    distance = np.abs((direction - 4 * index / count + 2) % 4 - 2)
    return np.cos(np.pi / 2 * meyer(distance * count / 4))


def odd_size(least: int) -> int:
    """Return the next odd number without prime factors above 7.

    An odd grid has no highest frequency that two opposite directions would share, and such an FFT is fast.
    """
    size = least | 1
    while not _smooth(size):
        size += 2
    return size


def _smooth(number: int) -> bool:
    for factor in (3, 5, 7):
        while number % factor == 0:
            number //= factor
    return number == 1


class ShearletFrame:
    """Shearlet frame for images of one size.

    Args:
        size: Rows and columns, both odd.
        scales: Coronas, from the finest down.
        directions: Of the two finest scales; half as many at each two below, but at least 4.
        precision: float32 or float64.
    """

    def __init__(
        self, size: tuple[int, int], scales: int = 4, directions: int = 16, precision: type = np.float32
    ) -> None:
        if not (size[0] % 2 and size[1] % 2):
            raise ValueError(f"a grid of {size[0]} x {size[1]} is not odd")
        self.size, self.scales = size, scales
        self.bands = [self._band(None, 0, 1, precision)]
        for scale in range(scales):
            count = max(directions >> (scale // 2), FEWEST_DIRECTIONS)
            self.bands += [self._band(scale, index, count, precision) for index in range(count)]

    def _band(self, scale: int | None, index: int, count: int, precision: type) -> Band:
        halvings = self.scales if scale is None else scale
        size = self._size(halvings)
        rows = np.fft.fftfreq(size[0], 1 / size[0])[:, None] * 2 / self.size[0]
        columns = np.arange(size[1] // 2 + 1)[None] * 2 / self.size[1]
        radius = np.maximum(np.abs(rows), columns)
        if scale is None:
            response = lowpass(radius, self.scales - 1)
        else:
            corona = lowpass(radius, scale - 1) ** 2 - lowpass(radius, scale) ** 2
            response = np.sqrt(np.maximum(corona, 0)) * wedge(slope(rows, columns), index, count)
        power = 2 * (response**2).sum() - (response[:, 0] ** 2).sum()  # the other half plane is its mirror image
        return Band(scale, size, response.astype(precision), float(np.sqrt(power / (size[0] * size[1]))))

    def _size(self, halvings: int) -> tuple[int, int]:
        """Return the smallest grid that holds frequencies up to the highest, halved so many times."""
        rows, columns = (min(odd_size(2 * int(np.ceil(n / 2 ** (halvings + 1))) + 1), n) for n in self.size)
        return rows, columns

    def spectrum(self, images: np.ndarray) -> np.ndarray:
        """Return the spectrum `(..., rows, columns // 2 + 1)` of images `(..., rows, columns)`."""
        return fft.rfft2(images, norm="ortho", workers=cores())

    def images(self, spectrum: np.ndarray) -> np.ndarray:
        """Return the images of a spectrum."""
        return fft.irfft2(spectrum, self.size, norm="ortho", workers=cores())

    def coefficients(self, spectrum: np.ndarray, band: Band) -> np.ndarray:
        """Return `(..., *band.size)` real coefficients of one band."""
        high, right = band.size[0] // 2, band.size[1] // 2 + 1
        band_spectrum = np.empty((*spectrum.shape[:-2], band.size[0], right), spectrum.dtype)
        band_spectrum[..., : high + 1, :] = spectrum[..., : high + 1, :right]
        band_spectrum[..., high + 1 :, :] = spectrum[..., spectrum.shape[-2] - high :, :right]
        band_spectrum *= band.filter
        return fft.irfft2(band_spectrum, band.size, norm="ortho", workers=cores(), overwrite_x=True)

    def add(self, spectrum: np.ndarray, coefficients: np.ndarray, band: Band) -> None:
        """Add to a spectrum what one band contributes to it."""
        high, right = band.size[0] // 2, band.size[1] // 2 + 1
        band_spectrum = fft.rfft2(coefficients, norm="ortho", workers=cores())
        band_spectrum *= band.filter
        spectrum[..., : high + 1, :right] += band_spectrum[..., : high + 1, :]
        spectrum[..., spectrum.shape[-2] - high :, :right] += band_spectrum[..., high + 1 :, :]


@lru_cache(maxsize=4)
def shearlet_frame(rows: int, columns: int, scales: int, directions: int) -> ShearletFrame:
    """Return a frame in float32, kept for the next slices of the same size."""
    return ShearletFrame((rows, columns), scales, directions)


def denoise_shearlets(slices: np.ndarray, sigma: np.ndarray, thresholds: np.ndarray, directions: int) -> np.ndarray:
    """Set coefficients to 0 that noise alone may reach.

    Args:
        slices: `(slices, height, width)` float32.
        sigma: `(slices,)` deviation of their noise.
        thresholds: `(scales,)` in deviations of a coefficient's noise, from the finest scale down.
        directions: Of the finest scale.
    """
    scales = len(thresholds)
    margin = 2**scales  # reflected, or opposite edges would meet
    sides = [(margin, odd_size(n + 2 * margin) - n - margin) for n in slices.shape[1:]]
    padded = np.pad(slices, ((0, 0), *sides), mode="symmetric")
    frame = shearlet_frame(padded.shape[1], padded.shape[2], scales, directions)
    spectrum = frame.spectrum(padded)
    total = np.zeros_like(spectrum)
    for band in frame.bands:
        coefficients = frame.coefficients(spectrum, band)
        if band.scale is not None:
            limit = (thresholds[band.scale] * band.gain * sigma)[:, None, None]
            coefficients *= np.abs(coefficients) > limit.astype(np.float32)
        frame.add(total, coefficients, band)
    rows, columns = (slice(first, first + n) for (first, _), n in zip(sides, slices.shape[1:], strict=True))
    return frame.images(total)[:, rows, columns]
