"""Self-attention over positions and over channels (Fu et al. 2019, "Dual attention network"), in 2-D and 3-D.

As SAFNet writes it (Yilihamu et al. 2023, "Self-attention mechanism"): a plain residual connection around each, no
learnt gate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import CONVOLUTION

REDUCTION = 8  # queries and keys have C / 8 channels


class PositionAttention(nn.Module):
    """Every position gathers from all others by similarity.

    With q, k (C / 8 channels) and v (C channels) from 1x1 convolutions: y = x + softmax(q k^T) v. The N x N matrix is
    never held: PyTorch's fused attention works through it in tiles. That needs q, k and v of one width, so v is
    taken in eight groups that share q and k.

    Shape:
        (B, C, *spatial) to the same; C a multiple of 8.
    """

    def __init__(self, dimension: int, channels: int) -> None:
        super().__init__()
        if channels % REDUCTION:
            raise ValueError(f"channels is {channels}, not a multiple of {REDUCTION}")
        convolution, inside = CONVOLUTION[dimension], channels // REDUCTION
        self.query = convolution(channels, inside, 1)
        self.key = convolution(channels, inside, 1)
        self.value = convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Add to the features what they gathered."""
        query = self._groups(self.query(x), 1).expand(-1, REDUCTION, -1, -1)  # (B, 8, N, C / 8)
        key = self._groups(self.key(x), 1).expand(-1, REDUCTION, -1, -1)
        value = self._groups(self.value(x), REDUCTION)
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # (B, 8, N, C / 8)
        return x + gathered.transpose(2, 3).reshape(x.shape)

    @staticmethod
    def _groups(x: Tensor, groups: int) -> Tensor:
        """Reshape (B, groups * c, *spatial) to (B, groups, N, c), with the strides that the fused kernels want.

        `contiguous` leaves the stride of a single position as it is, which CUDA's kernels then call misaligned.
        """
        return x.flatten(2).unflatten(1, (groups, -1)).transpose(2, 3).clone(memory_format=torch.contiguous_format)


class ChannelAttention(nn.Module):
    """Every channel gathers from all others by similarity: y = x + softmax(x x^T) x over the flattened positions.

    Shape:
        (B, C, *spatial) to the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Add to the features what they gathered."""
        # Similarity sums over N positions: too much for half precision, to which autocast would return.
        with torch.autocast(x.device.type, enabled=False):
            flat = x.flatten(2).float()  # (B, C, N)
            similarity = flat @ flat.transpose(1, 2)  # (B, C, C)
            gathered = similarity.softmax(2) @ flat  # (B, C, N)
        return x + gathered.to(x.dtype).reshape(x.shape)
