"""DeepLab v3 and v3+ (Chen et al. 2017 and 2018), in 2-D and 3-D.

"Rethinking atrous convolution for semantic image segmentation", and "Encoder-decoder with atrous separable
convolution", whose decoder sharpens the output with the features of the first stage. Its convolutions are plain ones
here: depthwise separable ones, which the paper tries as well, save computation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autospine.networks.aspp import ASPP
from autospine.networks.blocks import CONVOLUTION, ConvBatchNormReLU, initialise_he, resize_to
from autospine.networks.resnet import ResNet50
from autospine.networks.shape import NetworkShape

RATES = (6, 12, 18)  # at output stride 16
HEAD = 4  # times the stem's width: 256 channels
FINE = 0.75  # of the stem's width: 48 channels of low-level features


class DeepLabV3(nn.Module):
    """Dilated ResNet-50, atrous spatial pyramid pooling, and interpolation back to the image.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial).

    Args:
        shape: Its first width is the stem's (64 is the paper's, a multiple of 4). The strides of its stages 1 to 4 are
            those of the stem, the pooling and two stages of the encoder. An axis that is never strided is not dilated
            either.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width, dilated = shape.widths[0], [max(axis) > 1 for axis in zip(*shape.strides, strict=True)]
        rates = [tuple(rate if yes else 1 for yes in dilated) for rate in (2, *RATES)]
        self.encoder = ResNet50(shape.dimension, shape.in_channels, width, shape.strides[1:5], rates[0])
        self.aspp = ASPP(shape.dimension, self.encoder.widths[-1], HEAD * width, rates[1:], dropout=0.5)
        self.add_head(shape.dimension, HEAD * width)
        self.apply(initialise_he)

    def add_head(self, dimension: int, width: int) -> None:
        """Add what makes logits of the pyramid's features, `width` channels."""
        self.head = nn.Sequential(
            ConvBatchNormReLU(dimension, width, width, (3,) * dimension),
            CONVOLUTION[dimension](width, self.shape.out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of the image `x`."""
        return resize_to(self.head(self.aspp(self.encoder(x)[-1])), x.shape[2:])


class DeepLabV3Plus(DeepLabV3):
    """DeepLab v3 with a decoder that joins features of stride 4."""

    def add_head(self, dimension: int, width: int) -> None:
        """Add the reduction of the first stage's features, and the decoder."""
        fine, three = int(FINE * self.shape.widths[0]), (3,) * dimension
        self.reduce = ConvBatchNormReLU(dimension, self.encoder.widths[0], fine, (1,) * dimension)
        self.decoder = nn.Sequential(
            ConvBatchNormReLU(dimension, width + fine, width, three),
            ConvBatchNormReLU(dimension, width, width, three),
            CONVOLUTION[dimension](width, self.shape.out_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of the image `x`."""
        features = self.encoder(x)
        fine = self.reduce(features[0])  # (B, 48, *spatial / 4)
        coarse = resize_to(self.aspp(features[-1]), fine.shape[2:])  # (B, 256, *spatial / 4)
        return resize_to(self.decoder(torch.cat((coarse, fine), 1)), x.shape[2:])
