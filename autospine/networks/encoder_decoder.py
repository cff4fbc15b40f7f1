"""What U-shaped networks share: padding to the strides, encoder, skips, decoder and heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from autospine.networks.blocks import CONVOLUTION, MAX_POOL, crop_to, pad_to_multiple, resize_to
from autospine.networks.shape import NetworkShape

BuildStage = Callable[[int, int], nn.Module]  # from its input channels and its number; stage 0 is the finest


class PaddedNetwork(nn.Module):
    """A network that works on sizes of certain multiples: pads images of any size, and crops the logits back.

    Subclasses compute the logits of a padded image in `logits`.

    Shape:
        (B, in_channels, *spatial) to (B, out_channels, *spatial), or a tuple of outputs, coarser ones
        (B, out_channels, *ceil(spatial / stride)).
    """

    def __init__(self, scale_factor: Sequence[int]) -> None:
        super().__init__()
        self.scale_factor = tuple(scale_factor)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the logits of the image `x`; in training with deep supervision, a tuple of them from the finest."""
        size = x.shape[2:]
        x = pad_to_multiple(x, self.scale_factor)
        logits = self.logits(x)
        if isinstance(logits, Tensor):
            return crop_to(logits, size)
        padded = x.shape[2:]
        return tuple(crop_to(output, _size_of(output, size, padded)) for output in logits)

    def logits(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the logits of a padded image, each output smaller than it by a whole factor per axis."""
        raise NotImplementedError


def _size_of(output: Tensor, size: Sequence[int], padded: Sequence[int]) -> list[int]:
    """Return the size of a coarse output without padding: the image's over the output's stride, rounded up."""
    strides = [whole // part for whole, part in zip(padded, output.shape[2:], strict=True)]
    return [-(-length // stride) for length, stride in zip(size, strides, strict=True)]


class EncoderDecoder(PaddedNetwork):
    """Skeleton of U-Nets: encoder stages, decoder stages that join a skip each, and 1x1 convolutions to the classes.

    A subclass calls `add_encoder`, `add_decoder` and `add_heads`, which fixes the order of the parameters, and
    overrides `encode` and `join` where it does more.
    """

    encoder: nn.ModuleList
    pools: nn.ModuleList
    up: nn.ModuleList
    decoder: nn.ModuleList
    heads: nn.ModuleList

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape.scale_factor)
        self.shape = shape
        self.deep_supervision = False

    def add_encoder(self, build: BuildStage, pool: bool = True) -> None:
        """Add the encoder's stages, with max-pooling between them; without `pool` they are strided themselves."""
        sources = (self.shape.in_channels, *self.shape.widths[:-1])
        self.encoder = nn.ModuleList(build(source, stage) for stage, source in enumerate(sources))
        strides = self.shape.strides[1:] if pool else ()
        self.pools = nn.ModuleList(MAX_POOL[self.shape.dimension](stride) for stride in strides)

    def add_decoder(self, build: BuildStage, up: BuildStage | None) -> None:
        """Add the decoder's stages; without `up`, features are interpolated and keep their channels."""
        widths = self.shape.widths
        finer = range(len(widths) - 1)
        self.up = nn.ModuleList(up(widths[stage + 1], stage) for stage in finer if up)
        self.decoder = nn.ModuleList(
            build(widths[stage] + widths[stage if up else stage + 1], stage) for stage in finer
        )

    def add_heads(self, deep_supervision: bool = False) -> None:
        """Add the convolution to the classes after the finest decoder stage, or after every one."""
        self.deep_supervision = deep_supervision
        widths = self.shape.widths[:-1] if deep_supervision else self.shape.widths[:1]
        convolution = CONVOLUTION[self.shape.dimension]
        self.heads = nn.ModuleList(convolution(width, self.shape.out_channels, 1) for width in widths)

    def encode(self, stage: int, x: Tensor) -> Tensor:
        """Compute the features (B, widths[stage], *spatial) of an encoder stage, which are its skip too."""
        return self.encoder[stage](self.pools[stage - 1](x) if stage and self.pools else x)

    def join(self, stage: int, x: Tensor, skip: Tensor) -> Tensor:
        """Concatenate the coarser features `x`, up-sampled, and the skip of stage `stage`."""
        finer = self.up[stage](x) if self.up else resize_to(x, skip.shape[2:])
        return torch.cat((finer, skip), 1)  # (B, channels of both, *spatial of the stage)

    def logits(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the logits of a padded image; in training with deep supervision, one output per decoder stage."""
        skips: list[Tensor] = []
        for stage in range(len(self.encoder)):
            x = self.encode(stage, x)
            skips.append(x)
        several = self.training and self.deep_supervision
        outputs: list[Tensor] = []
        for stage in reversed(range(len(self.decoder))):
            x = self.decoder[stage](self.join(stage, x, skips[stage]))
            if stage == 0 or several:
                outputs.insert(0, self.heads[stage](x))
        return tuple(outputs) if several else outputs[0]
