"""Temperatures that make a model's confidences what held-out cases say they are (Guo et al., ICML 2017).

They divide logits, so the most probable class stays the most probable one: neither masks nor levels change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Temperatures of one model, 1 where they were not fitted; above 1 the network is less sure than it says."""

    classes: float = 1.0  # of the classes' soft-max
    levels: float = 1.0  # of the levels' votes, times `numbering.TEMPERATURE`
    cases: int = 0  # held-out cases that they were fitted on

    def __post_init__(self) -> None:
        if not (0 < self.classes < inf and 0 < self.levels < inf):
            raise ValueError(f"temperatures of {self.classes:g} and {self.levels:g}")


def mean_calibration(calibrations: Sequence[Calibration], weights: Sequence[float]) -> Calibration:
    """Return the temperatures of models that are averaged: geometric means by the models' weights."""
    total = sum(weights)
    shares = [weight / total for weight in weights]

    def mean(temperatures: Sequence[float]) -> float:
        return exp(sum(share * log(value) for share, value in zip(shares, temperatures, strict=True)))

    return Calibration(
        mean([one.classes for one in calibrations]),
        mean([one.levels for one in calibrations]),
        min(one.cases for one in calibrations),
    )


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return soft-max probabilities as they would be with logits divided by a temperature: (classes, ...) the same."""
    if temperature == 1:
        return probabilities
    powers = (probabilities / probabilities.max(axis=0)) ** (1 / temperature)
    return powers / powers.sum(axis=0)
