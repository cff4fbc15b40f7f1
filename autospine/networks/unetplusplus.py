"""U-Net++ (Zhou et al. 2018): skips become a triangle of nested, dense nodes.

Node X(i, j) stands at depth i; j = 0 is the encoder, and

    X(i, j) = H([X(i, 0), ..., X(i, j - 1), U(X(i + 1, j - 1))])        (equation 1)

with H two convolutions and U a transposed convolution. With deep supervision every X(0, j) gives an output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autospine.networks.blocks import (
    CONVOLUTION,
    MAX_POOL,
    TRANSPOSED,
    ConvBatchNormReLU,
    initialise_he,
    stage_convolutions,
)
from autospine.networks.encoder_decoder import PaddedNetwork
from autospine.networks.shape import NetworkShape


class UNetPlusPlus(PaddedNetwork):
    """Nested U-Net; batch normalisation after each convolution, where the paper's code has dropout.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial). In training with deep supervision: a
        tuple of such outputs, from the deepest node X(0, L) to X(0, 1), all of the full size.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape.scale_factor)
        self.shape = shape
        dimension, widths, depth = shape.dimension, shape.widths, len(shape.widths)
        self.pools = nn.ModuleList(MAX_POOL[dimension](stride) for stride in shape.strides[1:])
        self.nodes, self.ups = nn.ModuleDict(), nn.ModuleDict()
        for i in range(depth):
            source = shape.in_channels if i == 0 else widths[i - 1]
            self.nodes[f"{i}_0"] = stage_convolutions(ConvBatchNormReLU, shape, source, i, 2)
        for j in range(1, depth):
            for i in range(depth - j):
                stride = shape.strides[i + 1]
                self.ups[f"{i}_{j}"] = TRANSPOSED[dimension](widths[i + 1], widths[i], stride, stride)
                self.nodes[f"{i}_{j}"] = stage_convolutions(ConvBatchNormReLU, shape, (j + 1) * widths[i], i, 2)
        outputs = range(1, depth) if shape.deep_supervision else range(depth - 1, depth)
        self.heads = nn.ModuleDict({str(j): CONVOLUTION[dimension](widths[0], shape.out_channels, 1) for j in outputs})
        self.apply(initialise_he)

    def logits(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the logits of a padded image; in training with deep supervision, one output per X(0, j)."""
        depth = len(self.shape.widths)
        rows: list[list[Tensor]] = []  # rows[i][j] is X(i, j)
        for i in range(depth):
            rows.append([self.nodes[f"{i}_0"](x if i == 0 else self.pools[i - 1](rows[i - 1][0]))])
        for j in range(1, depth):
            for i in range(depth - j):
                above = self.ups[f"{i}_{j}"](rows[i + 1][j - 1])
                rows[i].append(self.nodes[f"{i}_{j}"](torch.cat((*rows[i], above), 1)))
        if not (self.training and self.shape.deep_supervision):
            return self.heads[str(depth - 1)](rows[0][-1])
        return tuple(self.heads[str(j)](rows[0][j]) for j in reversed(range(1, depth)))
