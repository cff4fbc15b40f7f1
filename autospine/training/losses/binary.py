"""Binary cross-entropy of every class (Yilihamu et al. 2023, equation 9), on soft-max probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autospine.training.losses.dice_ce import counted


class BinaryCrossEntropy(nn.Module):
    """Each class against all others, averaged over voxels and classes.

    With P the soft-max and Y the one-hot labels, over the N voxels that count and C classes:

        loss = -sum(Y log P + (1 - Y) log(1 - P)) / (N C)

    log(1 - P) is the logarithm of what the other classes add up to, so it stays finite and has a slope however sure the
    network is. With two classes the loss is the cross-entropy. If no voxel counts, it is 0.

    Args:
        ignore: Label value of voxels that do not count.

    Shape:
        logits (B, C, *spatial) of any floating type, C two or more; labels (B, *spatial) of any integer type; mask
        (B, *spatial) bool or None, True where a voxel counts; result () of at least float32.
    """

    def __init__(self, ignore: int | None = None) -> None:
        super().__init__()
        self.ignore = ignore

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the loss."""
        labels, mask = counted(labels, mask, self.ignore)
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            log_true = logits.log_softmax(1).gather(1, labels[:, None])  # (B, 1, *spatial)
            log_other = _log_complement(logits)  # (B, C, *spatial)
            wrong = log_other.sum(1, keepdim=True) - log_other.gather(1, labels[:, None])
            loss = -(log_true + wrong)[:, 0] / logits.shape[1]  # (B, *spatial)
            if mask is None:
                return loss.mean()
            return loss.where(mask, 0).sum() / mask.sum().clamp(min=1)


def _log_complement(logits: Tensor) -> Tensor:
    """Compute log(1 - P) of (B, C, ...): only the likeliest class can come near 1, so only its rest is summed anew."""
    highest, likeliest = logits.max(1, keepdim=True)  # (B, 1, *spatial)
    rest = logits.scatter(1, likeliest, -torch.inf).logsumexp(1, keepdim=True)
    total = torch.logaddexp(highest, rest)
    unlikely = (logits - total).exp().scatter(1, likeliest, 0.0)  # P where it is at most a half
    return torch.log1p(-unlikely).scatter(1, likeliest, rest - total)
