"""Vertebrae and discs as countable things: which are found, which invented, which carry the right level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import LabelScheme

if TYPE_CHECKING:
    import numpy as np

NAN = float("nan")
THRESHOLD = 0.5


@dataclass(frozen=True)
class Match:
    """A reference instance and the predicted one that stands for it, or one of them alone."""

    kind: Kind
    reference: Anatomy | None
    prediction: Anatomy | None
    iou: float = 0.0
    dice: float = 0.0
    distance_mm: float = NAN
    partial: bool = False
    identified: bool = False


@dataclass(frozen=True)
class InstanceScore:
    """One kind of one case."""

    kind: Kind
    matches: tuple[Match, ...]
    levelled: bool = True
    beyond: tuple[Anatomy, ...] = ()
    threshold: float = THRESHOLD


def score_instances(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    pred_scheme: LabelScheme,
    ref_scheme: LabelScheme,
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
    threshold: float = THRESHOLD,
) -> tuple[InstanceScore, ...]:
    """Scores one case, kind by kind."""
    raise NotImplementedError


@dataclass(frozen=True)
class InstanceSummary:
    """One kind over all cases: pooled counts, means over cases, level shifts."""

    kind: Kind
    cases: int
    absent: int
    detected: int
    false_positives: int
    missed: int
    identified: int
    iou_sum: float
    levelled: bool
    partial_detected: int
    partial_missed: int
    partial_extra: int
    shifted: int
    mixed: int
    undetected: int
    means: Mapping[str, float]


def summarise_instances(cases: Sequence[Sequence[InstanceScore]]) -> tuple[InstanceSummary, ...]:
    """One summary per kind that some reference shows."""
    raise NotImplementedError
