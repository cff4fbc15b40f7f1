"""Atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking atrous convolution", section 3.3), in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autospine.networks.blocks import CONVOLUTION, ConvBatchNormReLU


class ASPP(nn.Module):
    """A 1x1 convolution, dilated ones at several rates and the image's average, side by side, then fused.

    The pooled branch has no batch normalisation: on one value per sample and channel it would erase the input of a
    batch of one.

    Shape:
        (B, in_channels, *spatial) to (B, out_channels, *spatial).

    Args:
        dimension: 2 or 3.
        in_channels: Of the input.
        out_channels: Of each branch and of the output.
        rates: Dilations, each one number for all axes or one per axis.
        dropout: After the fusion.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        out_channels: int,
        rates: Sequence[int | tuple[int, ...]] = (6, 12, 18),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        one, three = (1,) * dimension, (3,) * dimension
        branches = [ConvBatchNormReLU(dimension, in_channels, out_channels, one)]
        branches += [ConvBatchNormReLU(dimension, in_channels, out_channels, three, dilation=rate) for rate in rates]
        self.branches = nn.ModuleList(branches)
        self.pooled = nn.Sequential(CONVOLUTION[dimension](in_channels, out_channels, 1), nn.ReLU(inplace=True))
        self.fuse = nn.Sequential(
            ConvBatchNormReLU(dimension, (len(branches) + 1) * out_channels, out_channels, one),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the fused branches."""
        average = x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)  # (B, in_channels, 1, ...)
        pooled = self.pooled(average).expand(-1, -1, *x.shape[2:])  # (B, out_channels, *spatial)
        return self.fuse(torch.cat([*(branch(x) for branch in self.branches), pooled], 1))
