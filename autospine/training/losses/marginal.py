"""Loss of voxels that are only known to be one of several classes: marginal cross-entropy, and Dice of merged classes.

Source: Shi et al., Marginal loss and exclusion loss for partially supervised multi-organ segmentation, Medical Image
Analysis 70, 2021.
"""

from __future__ import annotations

from itertools import combinations
from math import ceil, log2

import numpy as np
import torch
from torch import Tensor, nn

from autospine.training.losses.dice_ce import _wide


class MarginalDiceCrossEntropy(nn.Module):
    """Weighted sum of soft Dice and cross-entropy where a voxel may be one of several classes, M.

    With p the softmax, sums over the voxels that count, of the whole batch:

        cross-entropy = mean of -log(sum of p_c over c in M)
        Dice loss     = mean over groups g of 1 - (2 sum(p_g [M within g]) + s) / (sum(p_g) + sum([M within g]) + s)

    p_g being the sum of p over the classes of g. The groups of a sample are the finest sets of classes that its voxels
    tell apart from all others and from the background: where a whole vertebra is told, its body and its posterior
    elements are one; what may hide in the background is in none. A group's sums are over the samples that have it.

    Where each M is one class it is `DiceCrossEntropy` (batch Dice); how p is shared within an M costs nothing.

    Args:
        members: `(ids, classes)` bool, the classes that a voxel of each id may be; ids of none do not count.
        dice, cross_entropy: Weights; 0 leaves the term out.
        smooth: s.

    Shape:
        logits (B, C, *spatial) of any floating type, ids (B, *spatial) of any integer type, mask (B, *spatial) bool or
        None, True where a voxel counts; result () of at least float32.
    """

    def __init__(
        self, members: np.ndarray, dice: float = 1.0, cross_entropy: float = 1.0, *, smooth: float = 1e-5
    ) -> None:
        super().__init__()
        self.dice, self.cross_entropy, self.smooth = dice, cross_entropy, smooth
        told = np.asarray(members.any(axis=1))  # (ids,)
        sets, set_of = np.unique(members, axis=0, return_inverse=True)  # (K, C), (ids,)
        groups = _groups(sets)
        buffers = {
            "counts": told,  # (ids,)
            "members": members | ~told[:, None],  # (ids, C), all for those that do not count
            "set_of": set_of.reshape(-1),
            "sets": sets,
            "groups": groups,  # (G, C)
            "first": groups.argmax(axis=1),  # (G,), a class of each group
            "within": sets.any(axis=1) & ~(sets[None] & ~groups[:, None]).any(axis=2),  # (G, K)
        }
        for name, value in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value)), persistent=False)
        self.counts: Tensor
        self.members: Tensor
        self.set_of: Tensor
        self.sets: Tensor
        self.groups: Tensor
        self.first: Tensor
        self.within: Tensor

    def forward(self, logits: Tensor, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the loss."""
        ids = ids.long()
        counts = self.counts[ids] if mask is None else self.counts[ids] & mask.bool()  # (B, *spatial)
        with torch.autocast(logits.device.type, enabled=False):
            log_probabilities = _wide(logits).log_softmax(1)  # (B, C, *spatial)
            loss = log_probabilities.new_zeros(())
            if self.cross_entropy:
                loss = loss + self.cross_entropy * self._entropy(log_probabilities, ids, counts)
            if self.dice:
                loss = loss + self.dice * self._dice_loss(log_probabilities, ids, counts)
            return loss

    def _entropy(self, log_probabilities: Tensor, ids: Tensor, counts: Tensor) -> Tensor:
        possible = self.members[ids].movedim(-1, 1)  # (B, C, *spatial)
        log_true = log_probabilities.masked_fill(~possible, -torch.inf).logsumexp(1)  # (B, *spatial)
        return -(log_true * counts).sum() / counts.sum().clamp(min=1)

    def _dice_loss(self, log_probabilities: Tensor, ids: Tensor, counts: Tensor) -> Tensor:
        probabilities = log_probabilities.flatten(2).exp()  # (B, C, N)
        numbers = torch.arange(len(self.sets), device=ids.device)[:, None]  # (K, 1)
        own = (self.set_of[ids].flatten(1)[:, None] == numbers) & counts.flatten(1)[:, None]  # (B, K, N)
        own = own.to(probabilities)
        voxels = own.sum(2)  # (B, K)
        sums = probabilities @ own.transpose(1, 2)  # (B, C, K), of each class over the voxels of each set
        groups, within = self.groups.to(sums), self.within.to(sums)
        of_groups = groups @ sums  # (B, G, K)
        told = self._told(voxels > 0).to(sums)  # (B, G)
        overlap = (told * (of_groups * within).sum(2)).sum(0)  # (G,)
        predicted, reference = (told * of_groups.sum(2)).sum(0), (told * (voxels @ within.T)).sum(0)  # (G,)
        dice = (2 * overlap + self.smooth) / (predicted + reference + self.smooth)
        known = told.amax(0)  # (G,)
        return ((1 - dice) * known).sum() / known.sum().clamp(min=1)

    def _told(self, present: Tensor) -> Tensor:
        """Return which groups each sample tells apart, `(B, G)` bool, from the sets that it shows, `(B, K)` bool."""
        sets = (self.sets[None] & present[..., None]).float()  # (B, K, C)
        together = sets.transpose(1, 2) @ sets + torch.eye(sets.shape[2], device=sets.device)  # (B, C, C)
        for _ in range(ceil(log2(max(sets.shape[2], 2)))):  # classes that overlapping sets join
            together = (together @ together).clamp(max=1)
        told = ((together[:, self.first] > 0) == self.groups).all(2)  # (B, G)
        return told & present.any(1, keepdim=True)


def _groups(sets: np.ndarray) -> np.ndarray:
    """Return every set of foreground classes that may be told from all others, `(groups, classes)` bool."""
    classes = sets.shape[1]
    found = {frozenset((k,)) for k in range(1, classes)}
    found |= {frozenset(np.flatnonzero(row).tolist()) for row in sets if row.any() and not row[0]}
    while joined := {a | b for a, b in combinations(found, 2) if a & b} - found:
        found |= joined
    ordered = sorted(found, key=lambda group: (len(group), sorted(group)))
    return np.array([[k in group for k in range(classes)] for group in ordered], bool)
