"""From tissue to a scan: slice thickness, blur, coil, noise, grey-value range; the mask by majority."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.canvas import WHOLE, Axes, lattice_noise
from autospine.phantom.curves import Lines


@dataclass(frozen=True)
class Scanner:
    """What the scanner does to the image."""

    blur: float  # spread of the in-plane blur in pixels
    noise: float  # spread, relative to fat on T1 = 1
    coil_reach: float  # mm at which the coil in the table has lost half
    evened: float  # share of the coil's falloff that the scanner's own filter takes away
    band: float  # brightness that a saturation band leaves before the spine (1: no band)
    low: float  # percentiles at which grey values are clipped
    high: float
    gain: float  # largest grey value where they are not stretched


def sample_scanner(rng: np.random.Generator, sequence: str) -> Scanner:
    """Sample a scanner and its settings."""
    cube = sequence == "t2_SPACE"
    banded = rng.random() < (0.75 if cube else 0.4)
    return Scanner(
        blur=float(rng.uniform(0.4, 0.7)),
        noise=float(rng.uniform(0.02, 0.035) if cube else rng.uniform(0.012, 0.03)),
        coil_reach=float(rng.uniform(55, 110)),
        evened=float(rng.choice([0.6, 0.75] if cube else [0.15, 0.45, 0.8]) * rng.uniform(0.85, 1.0)),
        band=float(rng.uniform(0.06, 0.4) if banded else 1.0),
        low=float(rng.uniform(0.8, 2.5)),
        high=float(100 - rng.uniform(1.5, 3.2)),
        gain=float(rng.uniform(500, 1900)),
    )


def mean_slices(values: np.ndarray, times: int) -> np.ndarray:
    """Average every `times` thin slices: the partial volume of thick ones."""
    return values.reshape(-1, times, *values.shape[1:]).mean(axis=1)


def majority_slices(labels: np.ndarray, times: int) -> np.ndarray:
    """Return the label that most of every `times` thin slices carry (at a tie the one nearest the middle)."""
    from_middle = sorted(range(times), key=lambda k: abs(k - (times - 1) / 2))
    thin = labels.reshape(-1, times, *labels.shape[1:])[:, from_middle]  # (slices, times, rows, columns)
    votes = np.stack([(thin == thin[:, k : k + 1]).sum(axis=1, dtype=np.uint8) for k in range(times)], axis=1)
    return np.take_along_axis(thin, votes.argmax(axis=1, keepdims=True), axis=1)[:, 0]


def largest_components(labels: np.ndarray) -> np.ndarray:
    """Keep the largest connected component of every label, in place."""
    from scipy.ndimage import find_objects, label

    for value, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            components, _ = label(labels[box] == value, structure=np.ones((3, 3, 3)))
            largest = int(np.argmax(np.bincount(components.reshape(-1))[1:])) + 1
            labels[box][(components > 0) & (components != largest)] = 0
    return labels


def coil_field(axes: Axes, lines: Lines, scanner: Scanner, back: float, rng: np.random.Generator) -> np.ndarray:
    """Return the coil's sensitivity: strong at the back's skin (world y `back`), weak in front and at both ends."""
    x, y, z = axes.points(WHOLE)
    depth = np.maximum(back + 8 - y, 0) / scanner.coil_reach
    middle, half = 0.5 * float(axes.z[0] + axes.z[-1]), 0.5 * float(axes.z[0] - axes.z[-1])
    ends = 1 / (1 + 0.5 * np.abs((z - middle) / half) ** 4)
    field = ends / (1 + depth * depth) * (1 + 0.0 * x)
    field = (field / field.max()).astype(np.float32) ** np.float32(1 - scanner.evened)
    field *= 1 + 0.10 * lattice_noise(rng, axes, (90, 90, 90))
    if scanner.band < 1:
        _, body_y, _, deep, _ = (c[None, :, None] for c in lines.bodies.at(axes.z))
        edge = (body_y - deep).min(axis=1, keepdims=True) - 14 + 0 * body_y
        front = 1 / (1 + np.exp(np.clip((y - edge) / 6, -30, 30)))
        field *= 1 - (1 - scanner.band) * front
    return np.maximum(field, 0.01).astype(np.float32)


def scan(tissue: np.ndarray, field: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Blur, apply the coil's sensitivity and add Rician noise."""
    from scipy.ndimage import gaussian_filter1d

    blurred = gaussian_filter1d(tissue, scanner.blur, axis=1, truncate=3)
    blurred = gaussian_filter1d(blurred, scanner.blur, axis=2, truncate=3)
    blurred *= field
    spread = np.float32(scanner.noise)
    real = rng.standard_normal(blurred.shape, dtype=np.float32)
    real *= spread
    real += blurred
    imaginary = rng.standard_normal(blurred.shape, dtype=np.float32)
    imaginary *= spread
    return np.hypot(real, imaginary)


def to_grey(values: np.ndarray, scanner: Scanner, stretched: bool) -> np.ndarray:
    """Return int16 grey values: clipped at percentiles and stretched to -1000..3096, or plain and positive."""
    if not stretched:
        return np.clip(np.rint(values * np.float32(scanner.gain)), 0, 4095).astype(np.int16)
    low, high = np.percentile(values[:, ::2, ::2], [scanner.low, scanner.high])
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.rint(share * 4096 - 1000).astype(np.int16)
