"""The baseline: a plain U-Net in nnU-Net's spirit (Isensee et al. 2021), its shape from a plan."""

from __future__ import annotations

from functools import partial

from torch import nn

from autospine.networks.blocks import CONVOLUTION, ConvNormAct, initialise_he, stage_convolutions
from autospine.networks.encoder_decoder import EncoderDecoder
from autospine.networks.shape import NetworkShape


class UNet(EncoderDecoder):
    """Strided convolutions down, 1x1 convolution and nearest resize up, skips concatenated.

    nnU-Net goes up by transposed convolution; a step in bf16 on two cores takes a tenth longer with it, and
    the convolution after the concatenation smooths the resize.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial). In training with deep
        supervision: a tuple of outputs from the finest to the coarsest, one per decoder stage, each
        of size ceil(spatial / product of the strides so far).
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        build = partial(stage_convolutions, ConvNormAct, shape)
        self.add_encoder(lambda source, stage: build(source, stage, shape.blocks, shape.strides[stage]), False)
        self.add_decoder(lambda source, stage: build(source, stage, shape.decoder_blocks), self._up)
        self.add_heads(shape.deep_supervision)
        self.apply(initialise_he)

    def _up(self, source: int, stage: int) -> nn.Sequential:
        reduce = CONVOLUTION[self.shape.dimension](source, self.shape.widths[stage], 1, bias=False)
        return nn.Sequential(reduce, nn.Upsample(scale_factor=self.shape.strides[stage + 1]))
