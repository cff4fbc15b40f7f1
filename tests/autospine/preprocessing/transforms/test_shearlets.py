from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.preprocessing.transforms.shearlets import Band, ShearletFrame, denoise_shearlets, odd_size

odd = st.integers(1, 20).map(lambda n: 2 * n + 1)
frames = st.builds(
    lambda rows, columns, scales, directions: ShearletFrame((rows, columns), scales, directions, np.float64),
    odd,
    odd,
    st.integers(1, 5),
    st.integers(1, 20),
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def analyse(frame: ShearletFrame, images: np.ndarray) -> list[np.ndarray]:
    spectrum = frame.spectrum(images)
    return [frame.coefficients(spectrum, band) for band in frame.bands]


def synthesise(frame: ShearletFrame, coefficients: list[np.ndarray]) -> np.ndarray:
    total = np.zeros((*coefficients[0].shape[:-2], frame.size[0], frame.size[1] // 2 + 1), np.complex128)
    for values, band in zip(coefficients, frame.bands, strict=True):
        frame.add(total, values, band)
    return frame.images(total)


@settings(deadline=None)
@given(frames)
def test_images_come_back_and_energy_is_kept(frame: ShearletFrame) -> None:
    images = noise(2, *frame.size)
    coefficients = list(analyse(frame, images))
    assert all(part.dtype == np.float64 for part in coefficients)  # real
    assert np.abs(synthesise(frame, coefficients) - images).max() < 1e-10
    energy = sum(float((part**2).sum()) for part in coefficients)
    assert energy == pytest.approx(float((images**2).sum()), rel=1e-12)


@settings(deadline=None)
@given(frames, st.integers(0, 30), st.data())
def test_analysis_is_the_adjoint_of_synthesis(frame: ShearletFrame, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    band = data.draw(st.sampled_from(frame.bands))
    image, coefficients = random.normal(size=frame.size), random.normal(size=band.size)
    spectrum = np.zeros_like(frame.spectrum(image))
    frame.add(spectrum, coefficients, band)
    left = float((frame.coefficients(frame.spectrum(image), band) * coefficients).sum())
    assert left == pytest.approx(float((image * frame.images(spectrum)).sum()), abs=1e-9)


def full_response(frame: ShearletFrame, band: Band) -> np.ndarray:
    """`(rows, columns)` squared response over the whole frequency plane, from what a point becomes."""
    point = np.zeros(frame.size)
    point[0, 0] = 1
    spectrum = np.zeros_like(frame.spectrum(point))
    frame.add(spectrum, frame.coefficients(frame.spectrum(point), band), band)
    return np.fft.fft2(frame.images(spectrum)).real


def test_squared_filters_add_up_to_one_at_every_frequency() -> None:
    frame = ShearletFrame((63, 45), precision=np.float64)
    total = sum(full_response(frame, band) for band in frame.bands)
    assert np.abs(total - 1).max() < 1e-12


def test_bands_lie_in_their_coronas_and_their_wedges_are_narrow() -> None:
    frame = ShearletFrame((105, 105), scales=3, directions=16, precision=np.float64)
    frequency = np.abs(np.fft.fftfreq(105, 1 / 105)) / 52.5
    radius = np.maximum(frequency[:, None], frequency[None])
    for band in frame.bands:
        seen = full_response(frame, band) > 1e-12
        upper = 1.0 if not band.scale else 2.0**-band.scale
        if band.scale is None:
            assert seen[0, 0] and radius[seen].max() <= 2.0**-3
        else:
            assert 2.0 ** -(band.scale + 2) <= radius[seen].min() and radius[seen].max() <= upper
            assert seen.mean() < 0.25
    counts = np.bincount([band.scale for band in frame.bands if band.scale is not None])
    assert counts.tolist() == [16, 16, 8]


def test_the_gain_is_the_deviation_in_white_noise() -> None:
    frame = ShearletFrame((225, 315), scales=3, directions=8, precision=np.float64)
    images = noise(4, *frame.size)
    for band, coefficients in zip(frame.bands, analyse(frame, images), strict=True):
        if band.scale is not None:
            assert coefficients.std() == pytest.approx(band.gain, rel=0.05)


def test_an_edge_is_seen_by_the_wedge_across_it() -> None:
    rows, columns = np.indices((105, 105))
    frame = ShearletFrame((105, 105), scales=2, directions=8, precision=np.float64)
    window = np.exp(-((rows - 52) ** 2 + (columns - 52) ** 2) / 300)  # its ends are no edges
    argmax_and_max = []
    for angle in (0, 26.57, 45, 90, 135):
        across = np.cos(np.deg2rad(angle)) * (columns - 52) + np.sin(np.deg2rad(angle)) * (rows - 52)
        image = window * np.tanh(across)
        energy = [
            float((part**2).sum())
            for part, band in zip(analyse(frame, image), frame.bands, strict=True)
            if band.scale == 1
        ]
        argmax_and_max.append(int(np.argmax(energy)))
    assert argmax_and_max == [0, 1, 2, 4, 6]


@settings(deadline=None)
@given(st.integers(1, 3000))
def test_sizes_for_the_fourier_transform(least: int) -> None:
    size = odd_size(least)
    assert size % 2 == 1 and least <= size <= 1.35 * least + 2


def test_even_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="9 x 8 is not odd"):
        ShearletFrame((9, 8))


def test_opposite_edges_do_not_meet() -> None:
    """A ramp is bright at one end and dark at the other; where it goes over the edge there is no ringing."""
    ramp = np.tile(np.linspace(0, 100, 90, dtype=np.float32), (2, 64, 1))
    result = denoise_shearlets(ramp, np.array([1.0, 0.0]), np.array([3.5, 3.0, 3.0]), 16)
    assert np.abs(result - ramp)[0].max() < 1.5
    assert np.abs(result - ramp)[1].max() < 1e-3  # without noise nothing is taken away
