"""Focal and Dice loss, and class weights for it (Ahmed et al. 2024, after Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autospine.training.losses.dice_ce import DiceCrossEntropy

SMALLEST_DOUBT = 1e-6  # of 1 - p: below it a power under 1 would have an endless slope


class FocalDice(DiceCrossEntropy):
    """alpha * focal + (1 - alpha) * Dice.

    With p_y the probability of a voxel's own class y, and means over the voxels that count:

        focal = mean(a_y * (1 - p_y)^gamma * -log p_y)
        Dice  = as in `DiceCrossEntropy`: mean over the foreground classes of one minus soft Dice

    The paper weighs by a_y and does not divide by the weights' sum, so that a batch with more of a rare class counts
    for more; with a mean of 1 over the classes the loss keeps its scale. It sets gamma to 4.0 twice and to 0.4 once.
    If no voxel counts, both terms are 0.

    Args:
        alpha: Share of the focal term.
        gamma: 0 gives the cross-entropy; the higher, the less is learnt from what is right already.
        class_weights: a, one per class, background first; None weighs all alike.
        ignore: Label value of voxels that do not count.

    Shape:
        As `DiceCrossEntropy`.
    """

    def __init__(
        self,
        alpha: float = 0.6,
        gamma: float = 4.0,
        *,
        class_weights: Sequence[float] | None = None,
        ignore: int | None = None,
    ) -> None:
        super().__init__(1 - alpha, alpha, class_weights=class_weights, ignore=ignore)
        self.gamma = gamma

    def entropy(self, log_true: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the focal term."""
        doubt = (-torch.expm1(log_true)).clamp(min=SMALLEST_DOUBT)  # 1 - p, exact where p is near 1
        loss = -(doubt**self.gamma) * log_true  # (B, *spatial)
        if self.class_weights is not None:
            loss = loss * self.class_weights.to(loss)[labels]
        if mask is None:
            return loss.mean()
        return loss.where(mask, 0).sum() / mask.sum().clamp(min=1)


def inverse_root_weights(counts: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Compute weights by the inverse square root of class frequency, with a mean of 1.

    Args:
        counts: Voxels of each class, background first. A class without any weighs as if it had one.

    Example:
        >>> inverse_root_weights([100, 25, 4])
        (0.375, 0.75, 1.875)
    """
    weights = 1 / np.sqrt(np.maximum(np.asarray(counts, float), 1))
    return tuple(float(value) for value in weights / weights.mean())
