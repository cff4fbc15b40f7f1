"""The training domain: ranges of the training data that prediction compares a scan with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from autospine.fingerprint.fingerprint import Fingerprint


Triple = tuple[float, float, float]


@dataclass(frozen=True)
class TrainingDomain:
    """Ranges of the training data.

    Attributes:
        spacing_low, spacing_high: mm along (slices, rows, columns).
        extent_low, extent_high: Field of view in mm along the same axes.
        sequences: Names of the sequences.
        contrast: Lowest and highest mean of the labelled tissue, in deviations of its image from the image's mean;
            None where no case shows any.
    """

    spacing_low: Triple
    spacing_high: Triple
    extent_low: Triple
    extent_high: Triple
    sequences: tuple[str, ...]
    contrast: tuple[float, float] | None = None


def measure_domain(fingerprint: Fingerprint) -> TrainingDomain:
    """Compute the ranges of a data set's training cases."""
    cases = fingerprint.training
    spacing = np.array([case.spacing for case in cases])  # (cases, 3)
    extent = spacing * np.array([case.shape for case in cases])  # (cases, 3)
    contrasts = [
        round((case.foreground.mean - case.intensity.mean) / case.intensity.deviation, 3)
        for case in cases
        if case.foreground is not None and case.intensity.deviation > 0
    ]
    return TrainingDomain(
        spacing_low=_triple(spacing.min(axis=0)),
        spacing_high=_triple(spacing.max(axis=0)),
        extent_low=_triple(extent.min(axis=0)),
        extent_high=_triple(extent.max(axis=0)),
        sequences=tuple(sorted({case.sequence for case in cases})),
        contrast=(min(contrasts), max(contrasts)) if contrasts else None,
    )


def _triple(values: np.ndarray) -> Triple:
    a, b, c = (round(float(v), 4) for v in values)
    return (a, b, c)
