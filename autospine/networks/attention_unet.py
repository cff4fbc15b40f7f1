"""The attention U-Net (Oktay et al. 2018, "Learning where to look for the pancreas"), as deep as its shape says.

A decoder stage asks, voxel by voxel, which of the encoder's features are worth taking along:

    alpha = sigmoid(psi(ReLU(theta(x) + phi(g))))        (Oktay et al., equation 1)

with x the skip and g the coarser decoder features. Pal et al. write coefficients for the encoder's own features too
(their equation 2, A_enc(Z) * Z); `attend_encoder` adds them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import (
    BATCH_NORM,
    CONVOLUTION,
    MAX_POOL,
    TRANSPOSED,
    ConvBatchNormReLU,
    crop_to,
    initialise_he,
    pad_to_multiple,
    resize_to,
)
from autospine.networks.shape import NetworkShape


class AttentionUNet(nn.Module):
    """U-Net with attention gates on its skips, max-pooling down and transposed convolutions up.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial). Inside, sizes are padded to a multiple of
        the product of all strides.

    Args:
        shape: Widths, kernels and strides of its stages; six poolings are seven stages.
        attend_encoder: Each encoder stage also weighs its own features.
    """

    def __init__(self, shape: NetworkShape, attend_encoder: bool = False) -> None:
        super().__init__()
        self.shape = shape
        dimension, widths = shape.dimension, shape.widths
        finer = range(len(widths) - 1)
        self.encoder = nn.ModuleList(
            _stage(shape, source, stage, shape.blocks) for stage, source in enumerate((shape.in_channels, *widths[:-1]))
        )
        self.pools = nn.ModuleList(MAX_POOL[dimension](stride) for stride in shape.strides[1:])
        self.self_attention = nn.ModuleList(
            SelfGate(dimension, width) if attend_encoder else nn.Identity() for width in widths
        )
        self.gates = nn.ModuleList(
            AttentionGate(dimension, widths[stage], widths[stage + 1], shape.strides[stage + 1]) for stage in finer
        )
        self.up = nn.ModuleList(
            TRANSPOSED[dimension](widths[stage + 1], widths[stage], shape.strides[stage + 1], shape.strides[stage + 1])
            for stage in finer
        )
        self.decoder = nn.ModuleList(_stage(shape, 2 * widths[stage], stage, shape.decoder_blocks) for stage in finer)
        self.head = CONVOLUTION[dimension](widths[0], shape.out_channels, 1)
        self.apply(initialise_he)

    @property
    def scale_factor(self) -> tuple[int, ...]:
        """The multiple, per axis, that sizes have inside."""
        return self.shape.scale_factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the image `x`."""
        size = list(x.shape[2:])
        x = pad_to_multiple(x, self.scale_factor)
        skips: list[Tensor] = []
        for level, (stage, attend) in enumerate(zip(self.encoder, self.self_attention, strict=True)):
            x = attend(stage(x if level == 0 else self.pools[level - 1](x)))
            skips.append(x)
        for level in reversed(range(len(self.up))):
            skip = self.gates[level](skips[level], x)
            x = self.decoder[level](torch.cat((skip, self.up[level](x)), 1))
        return crop_to(self.head(x), size)


class AttentionGate(nn.Module):
    """Additive attention of a skip, asked by the coarser features below it.

    The coefficients are found on the coarse grid and interpolated, as in the paper's figure 2.

    Shape:
        x (B, C, *spatial) and gate (B, G, *coarse) to (B, C, *spatial).
    """

    def __init__(self, dimension: int, channels: int, gate_channels: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        convolution, inside = CONVOLUTION[dimension], max(channels // 2, 1)
        self.theta = convolution(channels, inside, stride, stride, bias=False)
        self.phi = convolution(gate_channels, inside, 1)
        self.psi = convolution(inside, 1, 1)
        self.out = nn.Sequential(convolution(channels, channels, 1, bias=False), BATCH_NORM[dimension](channels))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """The skip, weighed."""
        question = F.relu(self.theta(x) + self.phi(gate))  # (B, C / 2, *coarse)
        alpha = torch.sigmoid(self.psi(question))  # (B, 1, *coarse)
        return self.out(x * resize_to(alpha, x.shape[2:]))


class SelfGate(nn.Module):
    """Weighs features by themselves: A(Z) * Z of Pal et al., equation 2.

    Shape:
        (B, C, *spatial) to the same.
    """

    def __init__(self, dimension: int, channels: int) -> None:
        super().__init__()
        convolution, inside = CONVOLUTION[dimension], max(channels // 2, 1)
        self.attention = nn.Sequential(
            convolution(channels, inside, 1), nn.ReLU(inplace=True), convolution(inside, 1, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """The features, weighed."""
        return x * self.attention(x)


def _stage(shape: NetworkShape, in_channels: int, stage: int, blocks: int) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU, `blocks` times."""
    width, kernel = shape.widths[stage], shape.kernels[stage]
    first = ConvBatchNormReLU(shape.dimension, in_channels, width, kernel)
    rest = (ConvBatchNormReLU(shape.dimension, width, width, kernel) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
