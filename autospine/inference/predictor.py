"""From an image to labels on its own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from autospine.core.precision import quick_precision
from autospine.inference.aggregator import Aggregator
from autospine.inference.back import add_streams
from autospine.inference.group import make_groups
from autospine.inference.levels.decode import Decoded, decode
from autospine.inference.model import Model
from autospine.preprocessing.grid import case_grid
from autospine.preprocessing.normalisation import visible_rows
from autospine.preprocessing.run import preprocess_image


@dataclass(frozen=True)
class Prediction:
    """What was predicted of one image.

    Attributes:
        decoded: Labels on the image's own grid.
        confidence: Mean soft-max probability of each label's class, by label.
        network_seconds: Spent in networks.
        stack: Labels of all slices, measured and interpolated, on the image's own rows and columns; None where none
            were interpolated or nobody asked for them.
    """

    decoded: Decoded
    confidence: dict[int, float]
    network_seconds: float
    stack: np.ndarray | None = None


class Predictor:
    """One or more models of one plan, averaged by their weights.

    Args:
        models: Alike in plan and labels; patches and preprocessing steps may differ.
        device: Where.
    """

    def __init__(self, models: Sequence[Model], device: torch.device) -> None:
        card = models[0].card
        self.plan, self.encoding = card.plan, card.encoding
        self.groups = make_groups(models, device, quick_precision(device))

    def predict(
        self,
        image: np.ndarray,
        spacing: tuple[float, float, float],
        probabilities: Path | None = None,
        stack: bool = False,
    ) -> Prediction:
        """Segments one canonical image.

        Args:
            image: `(channels, slices, rows, columns)` float32.
            spacing: mm along (slices, rows, columns).
            probabilities: Where to store soft-max probabilities, `(classes, slices, rows, columns)` float16 .npy;
                None keeps none.
            stack: Whether interpolated slices are asked for, too.

        Returns:
            Labels of shape (slices, rows, columns) in the models' scheme.
        """
        moved = preprocess_image(image, spacing, self.plan)
        grid = case_grid(self.plan.grid, image.shape[1:], spacing)
        axis, before = self.groups[0].axis, self.network_seconds
        aggregator = Aggregator(self.encoding, grid, image.shape[1:], axis, stack)
        chunks = [group.chunks(moved, grid.spacing, aggregator.wanted) for group in self.groups]
        aggregator.run(chunks[0] if len(chunks) == 1 else add_streams(chunks, axis), probabilities)
        evidence = aggregator.evidence(grid.spacing, visible_rows(moved[0]))
        decoded = decode(evidence, self.encoding)
        labels = aggregator.on_input_grid(decoded.labels)
        return Prediction(
            Decoded(labels, decoded.label_results, decoded.ambiguous),
            aggregator.confidences(labels),
            self.network_seconds - before,
            aggregator.with_interpolated_slices(decoded.labels, labels),
        )

    @property
    def network_seconds(self) -> float:
        """Spent in networks so far."""
        return sum(group.seconds for group in self.groups)
