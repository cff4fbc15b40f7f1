"""DeepLab v3+ (Chen et al. 2018, "Encoder-decoder with atrous separable convolution"), in 2-D and 3-D.

DeepLab v3's encoder and a small decoder that sharpens its output with the features of the first stage. Its
convolutions are plain ones: depthwise separable convolutions, which the paper tries as well, save computation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autospine.networks.aspp import ASPP
from autospine.networks.blocks import CONVOLUTION, ConvBatchNormReLU, initialise_he, resize_to
from autospine.networks.deeplabv3 import HEAD, RATES
from autospine.networks.resnet import ResNet50
from autospine.networks.shape import NetworkShape

FINE = 0.75  # of the stem's width: 48 channels of low-level features


class DeepLabV3Plus(nn.Module):
    """Dilated ResNet-50, atrous spatial pyramid pooling, and a decoder that joins features of stride 4.

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
        dimension, width = shape.dimension, shape.widths[0]
        dilated = [max(axis) > 1 for axis in zip(*shape.strides, strict=True)]
        rates = [tuple(rate if yes else 1 for yes in dilated) for rate in RATES]
        self.encoder = ResNet50(
            dimension, shape.in_channels, width, shape.strides[1:5], tuple(2 if yes else 1 for yes in dilated)
        )
        wide, fine, three = HEAD * width, int(FINE * width), (3,) * dimension
        self.aspp = ASPP(dimension, self.encoder.widths[-1], wide, rates, dropout=0.5)
        self.reduce = ConvBatchNormReLU(dimension, self.encoder.widths[0], fine, (1,) * dimension)
        self.decoder = nn.Sequential(
            ConvBatchNormReLU(dimension, wide + fine, wide, three),
            ConvBatchNormReLU(dimension, wide, wide, three),
            CONVOLUTION[dimension](wide, shape.out_channels, 1),
        )
        self.apply(initialise_he)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of the image `x`."""
        features = self.encoder(x)
        fine = self.reduce(features[0])  # (B, 48, *spatial / 4)
        coarse = resize_to(self.aspp(features[-1]), fine.shape[2:])  # (B, 256, *spatial / 4)
        return resize_to(self.decoder(torch.cat((coarse, fine), 1)), x.shape[2:])
