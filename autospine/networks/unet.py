"""The baseline: a plain U-Net in nnU-Net's spirit (Isensee et al. 2021), its shape from a plan."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autospine.networks.blocks import (
    CONVOLUTION,
    ConvNormAct,
    crop_to,
    initialise_he,
    pad_to_multiple,
)
from autospine.networks.shape import NetworkShape


def _stage(
    shape: NetworkShape, in_channels: int, stage: int, blocks: int, stride: tuple[int, ...] | int
) -> nn.Sequential:
    width, kernel = shape.widths[stage], shape.kernels[stage]
    first = ConvNormAct(shape.dimension, in_channels, width, kernel, stride)
    rest = (ConvNormAct(shape.dimension, width, width, kernel) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


class UNet(nn.Module):
    """Strided convolutions down, 1x1 convolution and nearest resize up, skips concatenated.

    nnU-Net goes up by transposed convolution; a step in bf16 on two cores takes a tenth longer with it, and
    the convolution after the concatenation smooths the resize.

    Shape:
        (B, in_channels, *spatial) of any size to (B, out_channels, *spatial). In training with deep
        supervision: a tuple of outputs from the finest to the coarsest, one per decoder stage, each
        of size ceil(spatial / product of the strides so far).
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        widths, strides = shape.widths, shape.strides
        self.encoder = nn.ModuleList(
            _stage(shape, source, stage, shape.blocks, strides[stage])
            for stage, source in enumerate((shape.in_channels, *widths[:-1]))
        )
        finer = range(len(widths) - 1)
        self.up = nn.ModuleList(self._up(stage) for stage in finer)
        self.decoder = nn.ModuleList(
            _stage(shape, 2 * widths[stage], stage, shape.decoder_blocks, 1) for stage in finer
        )
        self.heads = nn.ModuleList(
            CONVOLUTION[shape.dimension](widths[stage], shape.out_channels, 1)
            for stage in (finer if shape.deep_supervision else finer[:1])
        )
        self.apply(initialise_he)

    def _up(self, stage: int) -> nn.Sequential:
        coarse, fine = self.shape.widths[stage + 1], self.shape.widths[stage]
        reduce = CONVOLUTION[self.shape.dimension](coarse, fine, 1, bias=False)
        return nn.Sequential(reduce, nn.Upsample(scale_factor=self.shape.strides[stage + 1]))

    @property
    def scale_factor(self) -> tuple[int, ...]:
        """The multiple, per axis, that sizes have inside; other sizes are padded and cropped back."""
        return self.shape.scale_factor

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits of the image `x`, or in training with deep supervision a tuple of them."""
        size = list(x.shape[2:])
        x = pad_to_multiple(x, self.scale_factor)
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        several = self.training and self.shape.deep_supervision
        outputs: list[Tensor] = []
        for level in reversed(range(len(self.up))):
            x = torch.cat((self.up[level](x), skips[level]), 1)
            x = self.decoder[level](x)
            if level == 0 or several:
                outputs.insert(0, self.heads[level](x))
        if not several:
            return crop_to(outputs[0], size)
        return tuple(crop_to(output, self._size_at(level, size)) for level, output in enumerate(outputs))

    def _size_at(self, level: int, size: list[int]) -> list[int]:
        """Size of an output of `level`: the input's over the strides so far, rounded up."""
        strides = zip(*self.shape.strides[: level + 1], strict=True)
        return [-(-length // math.prod(axis)) for length, axis in zip(size, strides, strict=True)]
