"""SAFNet, the scene-aware fusion network (Yilihamu et al. 2023), for volumes of thick slices.

A residual encoder that strides in-plane only, atrous spatial pyramid pooling and self-attention on its deepest
features, four-branch fusion on the other two, and a splicing of all three. Pyramid, fusion and attention can be left
out (the paper's table 2).

What the paper leaves open is decided so: the first two convolutions are 32 and 64 wide (the printed 128 x 18 x 64 x 32
comes out of the residual block after them); the three dilated convolutions have in-plane rates 2, 4 and 8; the
"attention mechanism module" that processes R_S is the one of the deepest features, with its weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autospine.networks.aspp import ASPP
from autospine.networks.blocks import (
    CONVOLUTION,
    ConvBatchNormReLU,
    initialise_he,
    resize_to,
)
from autospine.networks.encoder_decoder import PaddedNetwork
from autospine.networks.self_attention import ChannelAttention, PositionAttention

ONE, THREE, IN_PLANE = (1, 1, 1), (3, 3, 3), (1, 2, 2)
STEM_RATES = (2, 4, 8)  # in-plane, of the three dilated convolutions
PYRAMID_RATES = (6, 12, 18)
FUSION_RATES = (2, 4, 8, 16)
SCALE_FACTOR = (1, 16, 16)


@dataclass(frozen=True)
class SAFNetComponents:
    """Components of the paper's ablation."""

    pyramid: bool = True
    fusion: bool = True
    attention: bool = True


FULL = SAFNetComponents()


class SAFNet(PaddedNetwork):
    """Scene-aware fusion network; low, mid and high features have `width` channels, a multiple of 8."""

    def __init__(
        self, in_channels: int, out_channels: int, width: int = 128, components: SAFNetComponents = FULL
    ) -> None:
        super().__init__(SCALE_FACTOR)
        self.stem = nn.Sequential(
            ConvBatchNormReLU(3, in_channels, width // 4, THREE),
            ConvBatchNormReLU(3, width // 4, width // 2, THREE, IN_PLANE),
        )
        self.low = ResidualBlock(width // 2, width, IN_PLANE)
        self.mid = ResidualBlock(width, width, IN_PLANE)
        self.high = nn.Sequential(
            ResidualBlock(width, width, IN_PLANE),
            ResidualBlock(width, width, ONE),
            *(ConvBatchNormReLU(3, width, width, THREE, dilation=(1, rate, rate)) for rate in STEM_RATES),
        )
        self.pyramid = ASPP(3, width, width, PYRAMID_RATES) if components.pyramid else nn.Identity()
        self.attention = (
            nn.Sequential(PositionAttention(3, width), ChannelAttention()) if components.attention else nn.Identity()
        )
        self.fuse_low = FourBranches(width) if components.fusion else nn.Identity()
        self.fuse_mid = FourBranches(width) if components.fusion else nn.Identity()
        self.head = CONVOLUTION[3](3 * width, out_channels, 1)
        self.apply(initialise_he)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of a padded image `x`, (B, in_channels, D, H, W)."""
        low = self.low(self.stem(x))  # (B, width, D, H / 4, W / 4)
        mid = self.mid(low)  # (B, width, D, H / 8, W / 8)
        high = self.attention(self.pyramid(self.high(mid)))  # (B, width, D, H / 16, W / 16)
        logits = self.head(self._splice(self.fuse_low(low), self.fuse_mid(mid), high))
        return resize_to(logits, x.shape[2:])

    def _splice(self, low: Tensor, mid: Tensor, high: Tensor) -> Tensor:
        """Weigh the channels of low times mid by what the whole image shows (equations 6 to 8), (B, 3 * width, ...)."""
        response = high.mean(dim=(2, 3, 4), keepdim=True).sigmoid()  # (B, width, 1, 1, 1)
        response = self.attention(response)
        mid = resize_to(mid, low.shape[2:])
        return torch.cat((response * low * mid, low, mid), 1)


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions, the second strided, plus a strided 1x1x1 convolution (the paper's figure 3).

    Shape:
        (B, in_channels, D, H, W) to (B, out_channels, D, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            ConvBatchNormReLU(3, in_channels, out_channels, THREE),
            ConvBatchNormReLU(3, out_channels, out_channels, THREE, stride),
        )
        self.short = ConvBatchNormReLU(3, in_channels, out_channels, ONE, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sum of both branches."""
        return self.deep(x) + self.short(x)


class FourBranches(nn.Module):
    """Multi-scale fusion: four branches of a quarter of the channels, each the sum of two dilated convolutions.

    Shape:
        (B, C, D, H, W) to the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // len(FUSION_RATES)
        self.reduce = nn.ModuleList(ConvBatchNormReLU(3, channels, quarter, ONE) for _ in FUSION_RATES)
        self.near = nn.ModuleList(ConvBatchNormReLU(3, quarter, quarter, THREE) for _ in FUSION_RATES)
        self.far = nn.ModuleList(
            ConvBatchNormReLU(3, quarter, quarter, THREE, dilation=(1, rate, rate)) for rate in FUSION_RATES
        )

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches."""
        outputs = []
        for reduce, near, far in zip(self.reduce, self.near, self.far, strict=True):
            narrow = reduce(x)
            outputs.append(near(narrow) + far(narrow))
        return torch.cat(outputs, 1)
