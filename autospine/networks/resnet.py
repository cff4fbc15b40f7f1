"""The encoder of DeepLab: ResNet-50 (He et al. 2016) whose last stage is dilated instead of strided."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from autospine.networks.blocks import BATCH_NORM, CONVOLUTION, MAX_POOL, ConvBatchNormReLU

BLOCKS = (3, 4, 6, 3)  # of ResNet-50
EXPANSION = 4


class ResNet50(nn.Module):
    """Stem, pooling and four stages of bottleneck blocks, in 2-D and 3-D.

    Shape:
        (B, in_channels, *spatial) to the features of all four stages: 4, 8, 16, 32 times `width` channels wide, strided
        by the product of the first two strides, then of three, then of four (the last stage is dilated by 2).

    Args:
        dimension: 2 or 3.
        in_channels: Of the image.
        width: Channels of the stem; 64 is ResNet-50.
        strides: Of the stem, the pooling, the second and the third stage, one per axis.
        dilation: Of the last stage, one per axis.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        width: int,
        strides: Sequence[Sequence[int]],
        dilation: Sequence[int],
    ) -> None:
        super().__init__()
        stem, pool, second, third = (tuple(stride) for stride in strides)
        ones = (1,) * dimension
        kernels = tuple(7 if step > 1 else 3 for step in stem)
        self.stem = ConvBatchNormReLU(dimension, in_channels, width, kernels, stem)
        self.pool = MAX_POOL[dimension](tuple(3 if s > 1 else 1 for s in pool), pool, tuple(int(s > 1) for s in pool))
        self.stages = nn.ModuleList()
        source = width
        plan = zip(BLOCKS, (ones, second, third, ones), (ones, ones, ones, tuple(dilation)), strict=True)
        for number, (count, stride, rate) in enumerate(plan):
            inside = width * 2**number
            blocks = [Bottleneck(dimension, source, inside, stride, ones)]
            source = EXPANSION * inside
            blocks += [Bottleneck(dimension, source, inside, ones, rate) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
        self.widths = tuple(EXPANSION * width * 2**number for number in range(len(BLOCKS)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the features of the four stages, from the finest."""
        x = self.pool(self.stem(x))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided, dilated) and 1x1 convolutions beside the identity or a 1x1 projection.

    Shape:
        (B, in_channels, *spatial) to (B, 4 * width, *spatial / stride).
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        width: int,
        stride: Sequence[int],
        dilation: Sequence[int],
    ) -> None:
        super().__init__()
        one, three, out = (1,) * dimension, (3,) * dimension, EXPANSION * width
        self.branch = nn.Sequential(
            ConvBatchNormReLU(dimension, in_channels, width, one),
            ConvBatchNormReLU(dimension, width, width, three, stride, dilation),
            CONVOLUTION[dimension](width, out, 1, bias=False),
            BATCH_NORM[dimension](out),
        )
        same = in_channels == out and set(stride) == {1}
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                CONVOLUTION[dimension](in_channels, out, 1, tuple(stride), bias=False),
                BATCH_NORM[dimension](out),
            )
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the activated sum of branch and shortcut."""
        return self.activation(self.branch(x) + self.shortcut(x))
