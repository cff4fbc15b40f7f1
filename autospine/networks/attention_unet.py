"""The attention U-Net (Oktay et al. 2018, "Learning where to look for the pancreas"), as deep as its shape says.

A decoder stage decides voxel by voxel which of the encoder's features it takes:

    alpha = sigmoid(psi(ReLU(theta(x) + phi(g))))        (Oktay et al., equation 1)

with x the skip and g the coarser decoder features. Pal et al. write coefficients for the encoder's own features too
(their equation 2, A_enc(Z) * Z); `attend_encoder` adds them.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import (
    BATCH_NORM,
    CONVOLUTION,
    TRANSPOSED,
    ConvBatchNormReLU,
    initialise_he,
    resize_to,
    stage_convolutions,
)
from autospine.networks.encoder_decoder import EncoderDecoder
from autospine.networks.shape import NetworkShape


class AttentionUNet(EncoderDecoder):
    """U-Net with attention gates on its skips, max-pooling down and transposed convolutions up."""

    def __init__(self, shape: NetworkShape, attend_encoder: bool = False) -> None:
        super().__init__(shape)
        dimension, widths, strides = shape.dimension, shape.widths, shape.strides
        build = partial(stage_convolutions, ConvBatchNormReLU, shape)
        self.add_encoder(lambda source, stage: build(source, stage, shape.blocks))
        self.self_attention = nn.ModuleList(
            SelfGate(dimension, width) if attend_encoder else nn.Identity() for width in widths
        )
        self.gates = nn.ModuleList(
            AttentionGate(dimension, widths[stage], widths[stage + 1], strides[stage + 1])
            for stage in range(len(widths) - 1)
        )
        self.add_decoder(
            lambda source, stage: build(source, stage, shape.decoder_blocks),
            lambda source, stage: TRANSPOSED[dimension](source, widths[stage], strides[stage + 1], strides[stage + 1]),
        )
        self.add_heads()
        self.apply(initialise_he)

    def encode(self, stage: int, x: Tensor) -> Tensor:
        """Compute the features of an encoder stage, weighed by themselves if asked for."""
        return self.self_attention[stage](super().encode(stage, x))

    def join(self, stage: int, x: Tensor, skip: Tensor) -> Tensor:
        """Concatenate the skip, weighed by its gate, and the coarser features `x`, up-sampled."""
        return torch.cat((self.gates[stage](skip, x), self.up[stage](x)), 1)  # (B, 2 * width, *spatial of the stage)


class AttentionGate(nn.Module):
    """Additive attention of a skip, gated by the coarser features below it.

    The coefficients are computed on the coarse grid and interpolated, as in the paper's figure 2.

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
        """Weigh the skip `x` by the coarser features `gate`."""
        joint = F.relu(self.theta(x) + self.phi(gate))  # (B, C / 2, *coarse)
        alpha = torch.sigmoid(self.psi(joint))  # (B, 1, *coarse)
        return self.out(x * resize_to(alpha, x.shape[2:]))


class SelfGate(nn.Module):
    """Weighs features by themselves: A(Z) * Z of Pal et al., equation 2; (B, C, *spatial) to the same."""

    def __init__(self, dimension: int, channels: int) -> None:
        super().__init__()
        convolution, inside = CONVOLUTION[dimension], max(channels // 2, 1)
        self.attention = nn.Sequential(
            convolution(channels, inside, 1), nn.ReLU(inplace=True), convolution(inside, 1, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the features by themselves."""
        return x * self.attention(x)
