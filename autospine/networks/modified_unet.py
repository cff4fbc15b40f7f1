"""The modified U-Net of Ahmed et al. 2024 ("Pioneering precision in lumbar spine MRI segmentation"), their figure 7.

A U-Net with batch normalisation and dropout, whose up-sample block is a transposed convolution followed by
LeakyReLU(0.1), with one more layer as wide as the bottleneck (512) at the start of the expansive path, and
Glorot-uniform initial weights. The text gives no other width: 32, 64, 128, 256, 512 are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autospine.networks.blocks import ConvBatchNormReLU, crop_to, pad_to_multiple
from autospine.networks.shape import NetworkShape

UP_SLOPE = 0.1  # of the up-sample block's LeakyReLU


class ModifiedUNet(nn.Module):
    """Max-pooling down, up-sample blocks up, skips concatenated; 2-D.

    Shape:
        (B, in_channels, rows, columns) of any size to (B, out_channels, rows, columns). Inside, sizes are padded to a
        multiple of the product of all strides.

    Args:
        shape: Widths, kernels and strides of its stages.
        dropout: Share of the features dropped after each stage of the contracting path.

    Raises:
        ValueError: The shape is not of two dimensions.
    """

    def __init__(self, shape: NetworkShape, dropout: float = 0.2) -> None:
        super().__init__()
        if shape.dimension != 2:
            raise ValueError(f"dimension is {shape.dimension}, should be 2")
        self.shape = shape
        widths, kernels, strides = shape.widths, shape.kernels, shape.strides
        finer = range(len(widths) - 1)
        self.contracting = nn.ModuleList(
            nn.Sequential(_stage(source, widths[k], kernels[k], shape.blocks), nn.Dropout(dropout))
            for k, source in enumerate((shape.in_channels, *widths[:-1]))
        )
        self.pools = nn.ModuleList(nn.MaxPool2d(stride) for stride in strides[1:])
        self.extra = ConvBatchNormReLU(2, widths[-1], widths[-1], kernels[-1])
        self.up = nn.ModuleList(_up_sample(widths[k + 1], widths[k], strides[k + 1]) for k in finer)
        self.expansive = nn.ModuleList(
            _stage(2 * widths[k], widths[k], kernels[k], shape.decoder_blocks) for k in finer
        )
        self.head = nn.Conv2d(widths[0], shape.out_channels, 1)
        self.apply(initialise_glorot)

    @property
    def scale_factor(self) -> tuple[int, ...]:
        """The multiple, per axis, that sizes have inside; other sizes are padded and cropped back."""
        return self.shape.scale_factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the image `x`."""
        size = list(x.shape[2:])
        x = pad_to_multiple(x, self.scale_factor)
        skips: list[Tensor] = []
        for k, stage in enumerate(self.contracting):
            x = stage(self.pools[k - 1](x) if k else x)
            skips.append(x)
        x = self.extra(x)
        for k in reversed(range(len(self.up))):
            x = self.expansive[k](torch.cat((self.up[k](x), skips[k]), 1))
        return crop_to(self.head(x), size)


def _stage(in_channels: int, width: int, kernel: Sequence[int], blocks: int) -> nn.Sequential:
    sources = (in_channels, *(width,) * (blocks - 1))
    return nn.Sequential(*(ConvBatchNormReLU(2, source, width, kernel) for source in sources))


def _up_sample(in_channels: int, width: int, stride: Sequence[int]) -> nn.Sequential:
    """The paper's up-sample block."""
    size = (stride[0], stride[1])
    return nn.Sequential(nn.ConvTranspose2d(in_channels, width, size, size), nn.LeakyReLU(UP_SLOPE, inplace=True))


def initialise_glorot(module: nn.Module) -> None:
    """Glorot and Bengio's uniform initialisation, for `Module.apply`; biases become zero."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
