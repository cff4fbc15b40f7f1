"""DeepLab v3 (Chen et al. 2017, "Rethinking atrous convolution for semantic image segmentation"), in 2-D and 3-D."""

from __future__ import annotations

from torch import Tensor, nn

from autospine.networks.aspp import ASPP
from autospine.networks.blocks import CONVOLUTION, ConvBatchNormReLU, initialise_he, resize_to
from autospine.networks.resnet import ResNet50
from autospine.networks.shape import NetworkShape

RATES = (6, 12, 18)  # at output stride 16
HEAD = 4  # times the stem's width: 256 channels


class DeepLabV3(nn.Module):
    """Dilated ResNet-50, atrous spatial pyramid pooling, and interpolation back to the image.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial).

    Args:
        shape: Its first width is the stem's (64 is the paper's). The strides of its stages 1 to 4 are those of the
            stem, the pooling and two stages of the encoder. An axis that is never strided is not dilated either.
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
        self.aspp = ASPP(dimension, self.encoder.widths[-1], HEAD * width, rates, dropout=0.5)
        self.head = nn.Sequential(
            ConvBatchNormReLU(dimension, HEAD * width, HEAD * width, (3,) * dimension),
            CONVOLUTION[dimension](HEAD * width, shape.out_channels, 1),
        )
        self.apply(initialise_he)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of the image `x`."""
        return resize_to(self.head(self.aspp(self.encoder(x)[-1])), x.shape[2:])
