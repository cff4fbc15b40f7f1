"""The modified U-Net of Ahmed et al. 2024 ("Pioneering precision in lumbar spine MRI segmentation"), their figure 7.

A U-Net with batch normalisation and dropout, whose up-sample block is a transposed convolution followed by
LeakyReLU(0.1), with one more layer as wide as the bottleneck (512) at the start of the expansive path, and
Glorot-uniform initial weights. The text gives no other width: 32, 64, 128, 256, 512 are this project's.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from autospine.networks.blocks import ConvBatchNormReLU, stage_convolutions
from autospine.networks.encoder_decoder import EncoderDecoder
from autospine.networks.shape import NetworkShape

UP_SLOPE = 0.1  # of the up-sample block's LeakyReLU


class ModifiedUNet(EncoderDecoder):
    """Max-pooling down with dropout after each stage, up-sample blocks up, skips concatenated; 2-D.

    Raises:
        ValueError: The shape is not of two dimensions.
    """

    def __init__(self, shape: NetworkShape, dropout: float = 0.2) -> None:
        super().__init__(shape)
        if shape.dimension != 2:
            raise ValueError(f"dimension is {shape.dimension}, should be 2")
        build = partial(stage_convolutions, ConvBatchNormReLU, shape)
        self.add_encoder(lambda source, stage: nn.Sequential(build(source, stage, shape.blocks), nn.Dropout(dropout)))
        self.extra = ConvBatchNormReLU(2, shape.widths[-1], shape.widths[-1], shape.kernels[-1])
        self.add_decoder(lambda source, stage: build(source, stage, shape.decoder_blocks), self._up)
        self.add_heads()
        self.apply(initialise_glorot)

    def _up(self, source: int, stage: int) -> nn.Sequential:
        """Build the paper's up-sample block."""
        rows, columns = self.shape.strides[stage + 1]
        up = nn.ConvTranspose2d(source, self.shape.widths[stage], (rows, columns), (rows, columns))
        return nn.Sequential(up, nn.LeakyReLU(UP_SLOPE, inplace=True))

    def encode(self, stage: int, x: Tensor) -> Tensor:
        """Compute the features of an encoder stage; the deepest goes through the additional layer."""
        x = super().encode(stage, x)
        return self.extra(x) if stage == len(self.encoder) - 1 else x


def initialise_glorot(module: nn.Module) -> None:
    """Draw Glorot and Bengio's uniform initial weights, for `Module.apply`; biases become zero."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
