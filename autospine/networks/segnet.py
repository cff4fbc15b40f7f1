"""SegNet (Badrinarayanan, Kendall and Cipolla 2017): an encoder-decoder that goes up by the indices of its maxima.

The 13 convolutions of VGG-16 down, their mirror image up. Pooling remembers where each maximum was; the decoder puts
its features back there, zeros elsewhere, and convolves the sparse maps. Each convolution is followed by batch
normalisation and ReLU; the last one, to the classes, is not.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import ConvBatchNormReLU, convolutions, initialise_he
from autospine.networks.encoder_decoder import PaddedNetwork

CONVOLUTIONS = (2, 2, 3, 3, 3)  # per stage, as in VGG-16
KERNEL = (3, 3)


class SegNet(PaddedNetwork):
    """VGG-16's convolutions and their mirror image, joined by the indices of the maxima."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    ) -> None:
        super().__init__((2 ** len(widths),) * 2)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for stage, (width, count) in enumerate(zip(widths, CONVOLUTIONS, strict=True)):
            finer = in_channels if stage == 0 else widths[stage - 1]
            self.encoder.append(convolutions(ConvBatchNormReLU, 2, [finer] + [width] * count, KERNEL))
            last = [] if stage == 0 else [finer]  # the finest stage goes on to the head
            self.decoder.append(convolutions(ConvBatchNormReLU, 2, [width] * count + last, KERNEL))
        self.head = nn.Conv2d(widths[0], out_channels, KERNEL, padding=1)
        self.apply(initialise_he)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of a padded slice."""
        maxima: list[Tensor] = []  # indices, each (B, C, H, W) of its stage
        for stage in self.encoder:
            x, indices = F.max_pool2d(stage(x), 2, return_indices=True)
            maxima.append(indices)
        for stage, indices in zip(reversed(self.decoder), reversed(maxima), strict=True):
            x = stage(unpool(x, indices))
        return self.head(x)


def unpool(x: Tensor, indices: Tensor) -> Tensor:
    """Put each value where its maximum was in a map of twice the size, zeros elsewhere.

    The same as `torch.nn.functional.max_unpool2d` of 2 x 2 windows, which ONNX's exporter does not know.

    Shape:
        (B, C, H, W) and the indices, of the same shape and flat in the larger map, to (B, C, 2 H, 2 W).
    """
    batch, channels, height, width = x.shape
    empty = x.new_zeros(batch, channels, 4 * height * width)
    return empty.scatter(2, indices.flatten(2), x.flatten(2)).view(batch, channels, 2 * height, 2 * width)
