"""Components that several networks share, in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.shape import NetworkShape

SLOPE = 0.01  # of LeakyReLU, as in nnU-Net
CONVOLUTION: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class InstanceNorm(nn.Module):
    """Affine instance norm: each channel of each sample to mean 0 and variance 1, then scaled and shifted.

    It is computed by whichever of PyTorch's two kernels is quick for the layout. Two convolutions of 32
    channels on 8 x 160 x 96, forward and backward in bf16 autocast on two cores with AVX512-BF16, took with
    group norm of one channel per group 31 ms contiguous and 128 ms channels-last, with `instance_norm` 48 and
    37 ms; group norm with 8 groups or 1 (other statistics) 31 and 30 ms, so nothing is lost by keeping
    nnU-Net's norm. A single voxel is its own mean and becomes the shift, where PyTorch's module refuses.

    Shape:
        (B, C, *spatial) to the same.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each sample."""
        if x.is_contiguous():
            return torch.group_norm(x, len(self.weight), self.weight, self.bias, self.epsilon)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.epsilon)


class ConvNormAct(nn.Sequential):
    """Convolution with "same" padding, instance norm, LeakyReLU.

    The convolution has no bias, since the norm would take it away again.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        stride: Sequence[int] | int = 1,
        dilation: Sequence[int] | int = 1,
    ) -> None:
        rates = (dilation,) * dimension if isinstance(dilation, int) else tuple(dilation)
        padding = tuple(size // 2 * rate for size, rate in zip(kernel, rates, strict=True))
        stride = stride if isinstance(stride, int) else tuple(stride)
        super().__init__(
            CONVOLUTION[dimension](in_channels, out_channels, tuple(kernel), stride, padding, rates, bias=False),
            *self.norm_and_activation(dimension, out_channels),
        )

    @staticmethod
    def norm_and_activation(dimension: int, channels: int) -> tuple[nn.Module, nn.Module]:
        """Build what follows the convolution."""
        return InstanceNorm(channels), nn.LeakyReLU(SLOPE, inplace=True)


class ConvBatchNormReLU(ConvNormAct):
    """The same with batch normalisation and ReLU: the block of most papers' networks."""

    @staticmethod
    def norm_and_activation(dimension: int, channels: int) -> tuple[nn.Module, nn.Module]:
        """Build what follows the convolution."""
        return BATCH_NORM[dimension](channels), nn.ReLU(inplace=True)


def convolutions(
    block: type[ConvNormAct],
    dimension: int,
    channels: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int] | int = 1,
) -> nn.Sequential:
    """Build blocks from each number of channels to the next; the first one is strided."""
    return nn.Sequential(
        *(
            block(dimension, source, target, kernel, 1 if number else stride)
            for number, (source, target) in enumerate(pairwise(channels))
        )
    )


def stage_convolutions(
    block: type[ConvNormAct], shape: NetworkShape, source: int, stage: int, count: int, stride: Sequence[int] | int = 1
) -> nn.Sequential:
    """Build `count` blocks of a stage's width and kernel on `source` channels."""
    return convolutions(block, shape.dimension, (source, *(shape.widths[stage],) * count), shape.kernels[stage], stride)


def resize_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate (B, C, *spatial) linearly to (B, C, *size)."""
    if list(x.shape[2:]) == list(size):
        return x
    return F.interpolate(x, size=tuple(size), mode=INTERPOLATION[x.ndim - 2], align_corners=False)


def initialise_he(module: nn.Module) -> None:
    """Draw He's initial weights for LeakyReLU, for `Module.apply`; biases become zero."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def pad_to_multiple(x: Tensor, multiple: Sequence[int]) -> Tensor:
    """Repeat the last voxel of each spatial axis of (B, C, *spatial) until the size is a multiple."""
    missing = [-size % of for size, of in zip(x.shape[2:], multiple, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, [amount for last in reversed(missing) for amount in (0, last)], mode="replicate")


def crop_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return the first `size` voxels of each spatial axis, without what `pad_to_multiple` added."""
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x


class RepeatChannels(nn.Module):
    """Every channel of the image, several times over, before the network.

    A first convolution over equal channels is one over a single channel with the sum of its kernels: nothing is gained
    but another start of the weights.

    Shape:
        (B, C, *spatial) to whatever the network makes of (B, times * C, *spatial).
    """

    def __init__(self, network: nn.Module, times: int = 3) -> None:
        super().__init__()
        self.network, self.times = network, times

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network's output."""
        return self.network(x.repeat_interleave(self.times, 1))
