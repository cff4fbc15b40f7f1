"""What the training data looked like, so that prediction can say where a scan is unlike them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.fingerprint.fingerprint import CaseFingerprint, Fingerprint
from autospine.planning.plan import TrainingDomain

CLIPPED = 0.01  # share of voxels at the ends from which an image counts as clipped


def training_domain(fingerprint: Fingerprint) -> TrainingDomain:
    """What prediction compares new scans with."""
    cases = fingerprint.training
    spacing = np.array([case.spacing for case in cases])
    extent = spacing * np.array([case.shape for case in cases])
    return TrainingDomain(
        spacing_low=_triple(spacing.min(axis=0)),
        spacing_high=_triple(spacing.max(axis=0)),
        extent_low=_triple(extent.min(axis=0)),
        extent_high=_triple(extent.max(axis=0)),
        sequences=tuple(sorted({case.sequence for case in cases})),
        clipped=round(float(np.mean([case.clipped_share > CLIPPED for case in cases])), 3),
        contrast=_contrast_range(cases),
    )


def _contrast_range(cases: Sequence[CaseFingerprint]) -> tuple[float, float] | None:
    found = [
        (case.foreground.mean - case.intensity.mean) / case.intensity.deviation
        for case in cases
        if case.foreground is not None and case.intensity.deviation > 0
    ]
    return (round(min(found), 3), round(max(found), 3)) if found else None


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    a, b, c = (round(float(v), 4) for v in values)
    return (a, b, c)
