"""Cross-entropy with an instance-aware term: a small vertebra weighs as much as a large one.

Pal et al. name "a combination of both semantic segmentation loss, i.e. cross-entropy loss, and instance segmentation
loss" and "alpha = 0.6" without a formula. Here

    loss = alpha * cross-entropy + (1 - alpha) * mean over reference instances k of (1 - Dice_k)
    Dice_k = (2 sum(p_k [y = k]) + s) / (sum(p_k) + sum([y = k]) + s), sums over the neighbourhood of k,

the neighbourhood being the pixels nearer to instance k than to any other of the image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from autospine.training.losses.dice_ce import counted

SMOOTH = 1e-5


class InstanceCrossEntropy(nn.Module):
    """Cross-entropy and soft Dice of each instance in its own neighbourhood; every class is an instance.

    If an image shows no instance its Dice term is left out; if none does, it is 0; so is the cross-entropy where no
    voxel counts.

    Args:
        alpha: Share of the cross-entropy, 0 to 1.

    Shape:
        logits (B, C, *spatial), labels (B, *spatial) integers, mask (B, *spatial) bool or None, True where a voxel
        counts; result () float32.
    """

    def __init__(self, alpha: float = 0.6) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha:g}, not a share of 0 to 1")
        self.alpha = alpha

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the loss."""
        labels, mask = counted(labels, mask, None)
        with torch.autocast(logits.device.type, enabled=False):
            log_probabilities = logits.float().log_softmax(1)  # (B, C, *spatial)
            weight = torch.ones_like(log_probabilities[:, 0]) if mask is None else mask.float()
            log_true = log_probabilities.gather(1, labels[:, None])[:, 0]  # (B, *spatial)
            entropy = -(log_true * weight).sum() / weight.sum().clamp(min=1)
            return self.alpha * entropy + (1 - self.alpha) * instance_dice_loss(log_probabilities, labels, weight)


def instance_dice_loss(log_probabilities: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Compute one minus the mean soft Dice of the reference's instances, each in its neighbourhood, 0 to 1.

    Shape:
        log_probabilities (B, C, *spatial), labels (B, *spatial) int64, weight (B, *spatial) 0 or 1; result ().
    """
    samples, channels = log_probabilities.shape[:2]
    nearest = neighbourhoods(labels * (weight > 0))  # (B, *spatial)
    probabilities = log_probabilities.gather(1, nearest[:, None])[:, 0].exp() * weight  # (B, *spatial)
    inside = (labels == nearest) * weight  # (B, *spatial)
    offset = channels * torch.arange(samples, device=labels.device)
    bins = (nearest.flatten(1) + offset[:, None]).flatten()  # (B * N,), one bin per sample and instance
    empty = probabilities.new_zeros(samples * channels)
    overlap = empty.index_add(0, bins, (probabilities * inside).flatten())
    predicted = empty.index_add(0, bins, probabilities.flatten())
    reference = empty.index_add(0, bins, inside.flatten())
    dice = (2 * overlap + SMOOTH) / (predicted + reference + SMOOTH)  # (B * C,)
    shown = (reference > 0).view(samples, channels)
    shown[:, 0] = False  # an image without instances has background only
    return ((1 - dice) * shown.flatten()).sum() / shown.sum().clamp(min=1)


def neighbourhoods(labels: Tensor) -> Tensor:
    """Find the nearest instance of every pixel of (B, *spatial), 0 where the image shows none; on the same device."""
    from scipy.ndimage import distance_transform_edt

    nearest_labels = labels.cpu().numpy().copy()  # (B, *spatial)
    for image in nearest_labels:
        if image.any():
            nearest = distance_transform_edt(image == 0, return_distances=False, return_indices=True)
            image[:] = image[tuple(nearest)]
    return torch.from_numpy(np.ascontiguousarray(nearest_labels)).to(labels.device)
