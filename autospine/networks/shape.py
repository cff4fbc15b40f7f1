"""The numbers that define an encoder-decoder network, free of torch so that plans can hold them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkShape:
    """Stages of an encoder-decoder network.

    Attributes:
        dimension: 2 or 3.
        in_channels: Image channels.
        out_channels: Output channels.
        widths: Feature channels of each stage, finest first.
        kernels: Kernel of each stage, one number per axis.
        strides: Down-sampling into each stage, one number per axis; the first stage's are ones.
        blocks: Convolutions per encoder stage.
        decoder_blocks: Convolutions per decoder stage.
        deep_supervision: Whether training also supervises the coarser decoder stages.
    """

    dimension: int
    in_channels: int
    out_channels: int
    widths: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    blocks: int = 2
    decoder_blocks: int = 1
    deep_supervision: bool = True
