"""The masks that a critic or a discriminator compares: annotated ones and those that a network predicts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.training.losses.multitask import MultiTaskLoss


def discriminator_inputs(objective: MultiTaskLoss, logits: Tensor, labels: Tensor, smallest_side: int) -> tuple[Tensor, Tensor]:
    """Both masks, 0 where nothing is annotated.

    Sides below the smallest one are made longer by repeating pixels.

    Args:
        objective: Knows the class of each label.
        logits: `(B, classes, H, W)` of any floating type.
        labels: `(B, H, W)` compact indices.
        smallest_side: Of the masks, pixels: who judges them halves them, and something must be left.

    Returns:
        Annotated (one-hot) and predicted (soft-max) masks, `(B, classes, H', W')` float32.
    """
    classes = objective.class_of[labels.long()]  # (B, H, W), -1 where not annotated
    counts = (classes >= 0)[:, None].float()  # (B, 1, H, W)
    real = F.one_hot(classes.clamp(min=0), logits.shape[1]).movedim(-1, 1).float() * counts
    fake = logits.float().softmax(1) * counts
    for axis in (2, 3):
        times = -(-smallest_side // real.shape[axis])
        if times > 1:
            real, fake = (torch.repeat_interleave(masks, times, axis) for masks in (real, fake))
    return real, fake
