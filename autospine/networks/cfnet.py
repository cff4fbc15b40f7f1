"""CFNet, the cascade fusion network (Zhang, Li, Li et al. 2023), in 2-D and 3-D.

After a stem and a first group of blocks come several stages. Each is a small backbone with three scales of its own,
whose coarsest blocks are focal, and a light transition that adds the coarser scales to the finest. That sum is what
the next stage begins with, so features are fused again and again inside the backbone, not once behind it.

The paper works on photographs. Here axes are strided as the plan strides them; depth-wise kernels are 7 wide in-plane
and 3 across slices; two blocks per group, three stages, dilation 3; transitions add, of the paper's ways to fuse; the
first group's features join the last fusion, so that the output is as fine as the stem's output.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import CONVOLUTION, resize_to
from autospine.networks.encoder_decoder import PaddedNetwork
from autospine.networks.shape import NetworkShape

STAGES = 3  # of the cascade
BLOCKS = 2  # per group
EXPANSION = 4  # of the point-wise convolutions inside a block
KERNEL = {2: (7, 7), 3: (3, 7, 7)}
DILATION = {2: (3, 3), 3: (1, 3, 3)}  # dilation of a focal block


class CFNet(PaddedNetwork):
    """Cascade fusion network.

    Args:
        shape: Six stages: the image's grid, two of the stem (the second also of the first group), three scales of the
            cascade. The width of the first is not used.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape.scale_factor)
        self.shape = shape
        dimension, strides = shape.dimension, shape.strides
        _, first, group, *widths = shape.widths
        self.stem = nn.Sequential(
            Shrink(dimension, shape.in_channels, first, strides[1]),
            nn.GELU(),
            Shrink(dimension, first, group, strides[2]),
            nn.GELU(),
        )
        self.group = nn.Sequential(*(FocalBlock(dimension, group) for _ in range(BLOCKS)))
        self.enter = Shrink(dimension, group, widths[0], strides[3])
        self.stages = nn.ModuleList(FusionStage(dimension, widths, strides[4:]) for _ in range(STAGES))
        self.sides = nn.ModuleList(CONVOLUTION[dimension](width, group, 1) for width in widths)
        self.head = nn.Sequential(
            CONVOLUTION[dimension](group, group, 3, padding=1, bias=False),
            ChannelNorm(group),
            nn.GELU(),
            CONVOLUTION[dimension](group, shape.out_channels, 1),
        )

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of a padded image."""
        fine = self.group(self.stem(x))  # (B, group, *spatial / stem's strides)
        scales = [self.enter(fine)]
        for stage in self.stages:
            scales = stage(scales[0])
        for side, scale in zip(self.sides, scales, strict=True):
            fine = fine + resize_to(side(scale), fine.shape[2:])
        return resize_to(self.head(fine), x.shape[2:])


class FusionStage(nn.Module):
    """Three scales, the coarsest with focal blocks, and the transition that adds them up.

    Shape:
        (B, widths[0], *spatial) to the fused features and the two coarser ones: (B, widths[0], *spatial), (B,
        widths[1], ...), (B, widths[2], ...).
    """

    def __init__(self, dimension: int, widths: Sequence[int], strides: Sequence[Sequence[int]]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        dilation = DILATION[dimension]
        self.groups = nn.ModuleList(
            (
                nn.Sequential(*(FocalBlock(dimension, fine) for _ in range(BLOCKS))),
                nn.Sequential(
                    Shrink(dimension, fine, middle, strides[0]),
                    *(FocalBlock(dimension, middle) for _ in range(BLOCKS)),
                ),
                nn.Sequential(
                    Shrink(dimension, middle, coarse, strides[1]),
                    *(FocalBlock(dimension, coarse, dilation) for _ in range(BLOCKS)),
                ),
            )
        )
        self.transition = nn.ModuleList(CONVOLUTION[dimension](width, fine, 1) for width in (middle, coarse))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the scales, from the finest."""
        scales = []
        for group in self.groups:
            x = group(x)
            scales.append(x)
        for narrow, scale in zip(self.transition, scales[1:], strict=True):
            scales[0] = scales[0] + resize_to(narrow(scale), scales[0].shape[2:])
        return scales


class FocalBlock(nn.Module):
    """ConvNeXt's block (Liu et al. 2022), with a dilated depth-wise convolution besides, where `dilation` is given.

    Both have a skip around them, so that what is near and what is far are seen side by side; then come the norm and
    two point-wise convolutions, with the block's own skip.

    Shape:
        (B, C, *spatial) to the same.
    """

    def __init__(self, dimension: int, channels: int, dilation: tuple[int, ...] | None = None) -> None:
        super().__init__()
        convolution, ones = CONVOLUTION[dimension], (1,) * dimension
        self.depthwise = nn.ModuleList(
            convolution(
                channels,
                channels,
                KERNEL[dimension],
                padding=tuple(size // 2 * rate for size, rate in zip(KERNEL[dimension], rates, strict=True)),
                dilation=rates,
                groups=channels,
            )
            for rates in ((ones,) if dilation is None else (ones, dilation))
        )
        self.mix = nn.Sequential(
            ChannelNorm(channels),
            convolution(channels, EXPANSION * channels, 1),
            nn.GELU(),
            convolution(EXPANSION * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add to the features what their surroundings show."""
        context = self.depthwise[0](x)
        for dilated in self.depthwise[1:]:
            context = x + context
            context = context + dilated(context)
        return x + self.mix(context)


class Shrink(nn.Sequential):
    """A convolution with "same" padding and a stride, then the norm.

    Shape:
        (B, in_channels, *spatial) to (B, out_channels, *spatial / stride).
    """

    def __init__(self, dimension: int, in_channels: int, out_channels: int, stride: Sequence[int]) -> None:
        super().__init__(
            CONVOLUTION[dimension](in_channels, out_channels, 3, tuple(stride), padding=1, bias=False),
            ChannelNorm(out_channels),
        )


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel: (B, C, *spatial) to the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the channels of each voxel."""
        last = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return last.movedim(-1, 1)
