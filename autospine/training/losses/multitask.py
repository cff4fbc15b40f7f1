"""The loss of an encoding: classes, and for ordered labels the offset to a centre and the level."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.labels.encoding import Encoding
from autospine.training.data import Batch
from autospine.training.losses.dice_ce import deep_supervision_weights, downsample_labels, masked_smooth_l1

SemanticLoss = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


class MultiTaskLoss(nn.Module):
    """Loss terms of one encoding.

    Args:
        encoding: Which channels mean what.
        axes: Canonical axes of the network, in its order.
        semantic: Loss of the class channels, called as (logits, classes, counts); with train ids instead of classes
            where the encoding is partial.
        offset_weight, level_weight: Of the two terms of ordered labels.
    """

    def __init__(
        self,
        encoding: Encoding,
        axes: tuple[int, ...],
        semantic: SemanticLoss,
        offset_weight: float = 1.0,
        level_weight: float = 0.3,
    ) -> None:
        super().__init__()
        self.encoding, self.axes, self.semantic = encoding, axes, semantic
        self.offset_weight, self.level_weight = offset_weight, level_weight
        self.register_buffer("class_of", torch.from_numpy(encoding.class_of_index()), persistent=False)
        self.register_buffer("level_of", torch.from_numpy(encoding.level_of_index()), persistent=False)
        self.register_buffer("members", torch.from_numpy(encoding.members()), persistent=False)
        self.members: Tensor
        targets = np.arange(encoding.train_id_count) if encoding.partial else encoding.class_of_index()
        counted = np.where(encoding.members().any(axis=1), targets, -1)
        self.register_buffer("target_of", torch.from_numpy(counted), persistent=False)
        self.target_of: Tensor
        self.class_of: Tensor
        self.level_of: Tensor

    def forward(self, outputs: Tensor | Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Compute the loss terms, "loss" being their weighted sum.

        Args:
            outputs: `(B, channels, *spatial)` logits, or several from the finest to the coarsest.
            batch: With labels at the finest size.
        """
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        labels = batch.labels.long()  # (B, *spatial) train ids
        targets = self.target_of[labels]  # (B, *spatial), -1 where not annotated
        counts = targets >= 0
        targets = targets.clamp(min=0)
        channels = self.encoding.semantic_channels
        semantic = outputs[0].new_zeros((), dtype=torch.float32)
        for weight, output in zip(deep_supervision_weights(len(outputs)), outputs, strict=True):
            size = output.shape[2:]
            coarse, kept = downsample_labels(targets, size), downsample_labels(counts, size)
            semantic = semantic + weight * self.semantic(output[:, :channels], coarse, kept)
        terms = {"semantic": semantic, "loss": semantic}
        if self.encoding.ordered:
            terms |= self._ordered_terms(outputs[0], labels, batch)
            terms["loss"] = semantic + self.offset_weight * terms["offset"] + self.level_weight * terms["level"]
        return terms

    def _ordered_terms(self, output: Tensor, labels: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute smooth L1 of the offsets and cross-entropy of the levels, inside instances."""
        first = self.encoding.semantic_channels
        last = first + len(self.encoding.offset_axes)
        level = self.level_of[labels]  # (B, *spatial), -1 outside ordered labels
        inside = level >= 0
        target = self.offsets(labels, batch)  # (B, axes, *spatial)
        known = inside & torch.isfinite(target).all(dim=1)
        offset = masked_smooth_l1(output[:, first:last], target, known, beta=0.1)
        return {"offset": offset, "level": _level_entropy(output[:, last:], level, inside)}

    def offsets(self, labels: Tensor, batch: Batch) -> Tensor:
        """Compute `(B, axes, *spatial)` offsets from each voxel to its label's centre, in intervertebral distances."""
        size = labels.shape[1:]
        flat = labels.flatten(1)  # (B, voxels)
        offsets = []
        for axis in self.encoding.offset_axes:
            if axis not in self.axes:
                through_plane = batch.through_plane_offset_mm.gather(1, flat).view(labels.shape)
                offsets.append(through_plane / self.encoding.intervertebral_distance_mm)
                continue
            k = self.axes.index(axis)
            position = torch.arange(size[k], device=labels.device, dtype=torch.float32)
            position = position.view([-1 if a == k else 1 for a in range(len(size))])
            centre = batch.centres[..., k].gather(1, flat).view(labels.shape)
            spacing = batch.spacing[:, k].view(-1, *[1] * len(size))
            offsets.append((centre - position) * spacing / self.encoding.intervertebral_distance_mm)
        return torch.stack(offsets, dim=1)


def _level_entropy(logits: Tensor, level: Tensor, inside: Tensor) -> Tensor:
    """Compute the mean cross-entropy of (B, levels, *spatial) logits over the voxels inside, 0 if there are none."""
    if logits.is_cuda:
        return _level_entropy_of_all(logits, level, inside)
    picked = logits.movedim(1, -1)[inside].float()  # (voxels, levels)
    return F.cross_entropy(picked, level[inside]) if len(picked) else picked.sum() * 0


def _level_entropy_of_all(logits: Tensor, level: Tensor, inside: Tensor) -> Tensor:
    """Visit all voxels, those outside being ignored: on CUDA the host would wait for the number of those inside."""
    target = level.where(inside, -1)
    entropy = F.cross_entropy(logits.float(), target, ignore_index=-1, reduction="sum")
    return entropy / inside.sum().clamp(min=1)
