"""From tissue to a scan: slice thickness, blur, coil, noise, grey-value range; and the mask's majority."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.canvas import Axes, lattice_noise
from autospine.phantom.curves import Lines


@dataclass(frozen=True)
class Scanner:
    """What the scanner does to the picture.

    Attributes:
        blur: Spread of the in-plane blur in pixels.
        noise: Spread of the noise, relative to fat on T1 = 1.
        coil_reach: Distance in mm at which the coil in the table has lost half.
        evened: Share of the coil's falloff that the scanner's own filter takes away.
        band: Whether a saturation band darkens what lies before the spine.
        low, high: Percentiles at which grey values are clipped.
        gain: Largest grey value where they are not stretched.
    """

    blur: float
    noise: float
    coil_reach: float
    evened: float
    band: float
    low: float
    high: float
    gain: float


def sample_scanner(rng: np.random.Generator, sequence: str) -> Scanner:
    """Samples a scanner and its settings."""
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


def merge_slices(values: np.ndarray, times: int) -> np.ndarray:
    """Mean of every `times` thin slices: the partial volume of thick ones."""
    if times == 1:
        return values
    thick = values.reshape(-1, times, *values.shape[1:])
    total = thick[:, 0].copy()
    for k in range(1, times):
        total += thick[:, k]
    return total / np.float32(times)


def merge_labels(labels: np.ndarray, times: int) -> np.ndarray:
    """The label that most of every `times` thin slices carry (at a tie the one nearest the middle)."""
    if times == 1:
        return labels
    thin = labels.reshape(-1, times, *labels.shape[1:])
    order = sorted(range(times), key=lambda k: abs(k - (times - 1) / 2))
    best = thin[:, order[0]].copy()
    most = np.zeros(best.shape, np.uint8)
    for k in order:
        count = np.zeros(best.shape, np.uint8)
        for other in range(times):
            count += thin[:, k] == thin[:, other]
        better = count > most
        best[better] = thin[:, k][better]
        most[better] = count[better]
    return best


def clean_labels(labels: np.ndarray) -> np.ndarray:
    """Keeps the largest connected piece of every label."""
    from scipy.ndimage import find_objects, label

    for value, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        part = labels[box]
        pieces, count = label(part == value, structure=np.ones((3, 3, 3)))
        if count > 1:
            largest = int(np.argmax(np.bincount(pieces.reshape(-1))[1:])) + 1
            part[(pieces > 0) & (pieces != largest)] = 0
    return labels


def coil_field(axes: Axes, lines: Lines, scanner: Scanner, back: float, rng: np.random.Generator) -> np.ndarray:
    """Sensitivity over the grid: strong at the back, weak before the spine and at both ends.

    Args:
        axes: The grid.
        lines: The spine's lines.
        scanner: The scanner.
        back: World y of the back's skin.
        rng: Source of chance.
    """
    x, y, z = axes.points((slice(None), slice(None), slice(None)))
    depth = np.maximum(back + 8 - y, 0) / scanner.coil_reach
    middle, half = 0.5 * float(axes.z[0] + axes.z[-1]), 0.5 * float(axes.z[0] - axes.z[-1])
    ends = 1 / (1 + 0.5 * np.abs((z - middle) / half) ** 4)
    field = ends / (1 + depth * depth) * (1 + 0.0 * x)
    field = (field / field.max()).astype(np.float32) ** np.float32(1 - scanner.evened)
    field *= 1 + 0.10 * lattice_noise(rng, axes, (90, 90, 90))
    if scanner.band < 1:
        _, body_y, _, deep, _ = (c[None, :, None] for c in lines.bodies.at(axes.z))
        edge = (body_y - deep).min(axis=1, keepdims=True) - 14 + 0 * body_y
        shade = 1 / (1 + np.exp(np.clip((y - edge) / 6, -30, 30)))
        field *= 1 - (1 - scanner.band) * shade
    return np.maximum(field, 0.01).astype(np.float32)


def scan(tissue: np.ndarray, field: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Blurs, shades and adds Rician noise."""
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
    """int16 grey values: clipped at percentiles and stretched to -1000..3096, or plain and positive."""
    if not stretched:
        return np.clip(np.rint(values * np.float32(scanner.gain)), 0, 4095).astype(np.int16)
    low, high = np.percentile(values[:, ::2, ::2], [scanner.low, scanner.high])
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.rint(share * 4096 - 1000).astype(np.int16)
