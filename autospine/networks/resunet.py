"""Deep residual U-Net (Zhang, Liu and Wang 2018, "Road extraction by deep residual U-Net"), in 2-D and 3-D.

Residual units with pre-activation (batch normalisation, ReLU, convolution, twice) down and up, strided convolutions
instead of pooling, interpolation up.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autospine.networks.blocks import (
    BATCH_NORM,
    CONVOLUTION,
    crop_to,
    initialise_he,
    pad_to_multiple,
    resize_to,
)
from autospine.networks.shape import NetworkShape


class ResUNet(nn.Module):
    """Residual units on a U.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial).
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        dimension, widths = shape.dimension, shape.widths
        self.encoder = nn.ModuleList(
            ResidualUnit(
                dimension,
                source,
                widths[stage],
                shape.kernels[stage],
                shape.strides[stage],
                first=stage == 0,
            )
            for stage, source in enumerate((shape.in_channels, *widths[:-1]))
        )
        finer = range(len(widths) - 1)
        self.decoder = nn.ModuleList(
            ResidualUnit(dimension, widths[stage] + widths[stage + 1], widths[stage], shape.kernels[stage])
            for stage in finer
        )
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
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for level in reversed(range(len(self.decoder))):
            finer = resize_to(x, skips[level].shape[2:])
            x = self.decoder[level](torch.cat((finer, skips[level]), 1))
        return crop_to(self.head(x), size)


class ResidualUnit(nn.Module):
    """Two pre-activated convolutions beside a 1x1 convolution (the identity where nothing changes).

    Shape:
        (B, in_channels, *spatial) to (B, out_channels, *spatial / stride).

    Args:
        dimension: 2 or 3.
        in_channels: Of the input.
        out_channels: Of the output.
        kernel: Of both convolutions.
        stride: Of the first, and of the 1x1 convolution; ones if not given.
        first: The network's first unit convolves the image before it normalises anything.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        first: bool = False,
    ) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[dimension], BATCH_NORM[dimension]
        stride = tuple(stride or (1,) * dimension)
        padding = tuple(size // 2 for size in kernel)
        before = () if first else (norm(in_channels), nn.ReLU(inplace=False))
        self.branch = nn.Sequential(
            *before,
            convolution(in_channels, out_channels, tuple(kernel), stride, padding),
            norm(out_channels),
            nn.ReLU(inplace=True),
            convolution(out_channels, out_channels, tuple(kernel), 1, padding),
        )
        same = in_channels == out_channels and set(stride) == {1}
        self.shortcut = nn.Identity() if same else convolution(in_channels, out_channels, 1)
        self.kept = (slice(None), slice(None), *(slice(None, None, step) for step in stride))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        # As a strided 1x1 convolution does; oneDNN 3.12 overruns its memory in the gradient of one of 8 channels (bf16,
        # channels last).
        return self.branch(x) + self.shortcut(x[self.kept])
