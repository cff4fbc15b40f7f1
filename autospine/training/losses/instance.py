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

from autospine.training.losses.dice_ce import class_sums, counted

SMOOTH = 1e-5
LABELS = 1024  # more than any label
AT_ONCE = 2**26  # distances that are held


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
    channels = log_probabilities.shape[1]
    nearest = neighbourhoods(labels * (weight > 0))  # (B, *spatial)
    probabilities = log_probabilities.gather(1, nearest[:, None])[:, 0].exp() * weight  # (B, *spatial)
    inside = (labels == nearest) * weight  # (B, *spatial)
    summed = class_sums((probabilities * inside, probabilities, inside), nearest, channels)
    overlap, predicted, reference = (x.flatten() for x in summed)  # (B * C,)
    dice = (2 * overlap + SMOOTH) / (predicted + reference + SMOOTH)  # (B * C,)
    shown = (reference > 0).view(-1, channels)
    shown[:, 0] = False  # an image without instances has background only
    return ((1 - dice) * shown.flatten()).sum() / shown.sum().clamp(min=1)


def neighbourhoods(labels: Tensor) -> Tensor:
    """Find the nearest instance of every pixel of (B, *spatial), 0 where the image shows none; on the same device.

    Of several equally near ones CUDA takes the one with the smallest label.
    """
    if labels.is_cuda:
        return torch.stack([_nearest_label(image) for image in labels])
    from scipy.ndimage import distance_transform_edt

    nearest_labels = labels.cpu().numpy().copy()  # (B, *spatial)
    for image in nearest_labels:
        if image.any():
            nearest = distance_transform_edt(image == 0, return_distances=False, return_indices=True)
            image[:] = image[tuple(nearest)]
    return torch.from_numpy(np.ascontiguousarray(nearest_labels)).to(labels.device)


def _nearest_label(image: Tensor) -> Tensor:
    """Find the label nearest to each pixel, axis by axis, without leaving the device: int64 to int64.

    Each pixel holds squared distance * LABELS + label of the nearest one so far; the smallest sum with the squared
    distance along the next axis is again the nearest. Exact (Felzenszwalb and Huttenlocher 2012), in n * N steps.
    """
    nothing = LABELS * sum(4 * n * n for n in image.shape)  # more than any distance
    nearest = image.where(image > 0, nothing)
    for axis, size in enumerate(image.shape):
        places = torch.arange(size, device=image.device)
        away = LABELS * (places[:, None] - places).square()  # (n, n)
        lines = nearest.movedim(axis, -1)[..., None, :]  # (..., 1, n)
        parts = [(lines + part).amin(-1) for part in away.split(max(AT_ONCE // image.numel(), 1))]
        nearest = torch.cat(parts, -1).movedim(-1, axis)
    return (nearest % LABELS).where(nearest < nothing, 0)
