"""The two masks of a case that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.labels.schemes import LabelScheme


@dataclass(frozen=True)
class MaskPair:
    """A prediction and a reference on one grid.

    Attributes:
        prediction: Labels, (slices, rows, columns).
        reference: Labels, the same shape. Where it is unlabelled nothing is scored.
        spacing: mm along each axis.
        schemes: What the prediction's and the reference's labels mean.
        sources: The files that an error names.

    Raises:
        UserError: The shapes differ.
    """

    prediction: np.ndarray
    reference: np.ndarray
    spacing: Sequence[float]
    schemes: tuple[LabelScheme, LabelScheme]
    sources: tuple[str | Path, str | Path] = ("prediction", "reference")

    def __post_init__(self) -> None:
        shapes = self.prediction.shape, self.reference.shape
        if shapes[0] != shapes[1]:
            problem = f"has the shape {shapes[0]}, {self.sources[1]} has {shapes[1]}"
            raise UserError(self.sources[0], problem, "predict on the reference's grid")
