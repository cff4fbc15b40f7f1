"""Spine-GAN (Han et al. 2018, "Semantic segmentation of multiple spinal structures"): segmenter and discriminator.

The paper's abstract names the components: an autoencoder of atrous convolutions that keeps fine structures, a long
short-term memory that models how the structures of a spine lie to one another, and an adversarial network that sees
the segmentation. Layers, widths and weights are this project's:

- autoencoder: three stages of two 3x3 convolutions, pooled in between and after, so that the features are strided by 8,
  then four 3x3 convolutions dilated by 2, 4, 8 and 16; up again by transposed convolution, without skips
- LSTM: over the positions of the deepest features, up and down every column, then left and right along every row of
  what came out (the sweeps of ReNet, Visin et al. 2015), its output added to the features; sweeps run side by side, so
  that their length is the side of the map and not its area
- discriminator: three convolutions with kernels of 9, 7 and 5, each with batch normalisation, ReLU and average pooling,
  then one number per image
"""

from __future__ import annotations

from torch import Tensor, nn

from autospine.networks.blocks import ConvBatchNormReLU, convolutions, initialise_he
from autospine.networks.encoder_decoder import PaddedNetwork

THREE = (3, 3)
RATES = (2, 4, 8, 16)
KERNELS = (9, 7, 5)  # of the discriminator
SMALLEST_SIDE = 2 ** len(KERNELS)  # of the masks that it sees: it halves them that often


class SpineGenerator(PaddedNetwork):
    """Atrous autoencoder with an LSTM over the positions of its deepest features, whose width is even."""

    def __init__(self, in_channels: int, out_channels: int, widths: tuple[int, ...] = (64, 128, 256)) -> None:
        super().__init__((2 ** len(widths),) * 2)
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            convolutions(ConvBatchNormReLU, 2, (source, width, width), THREE)
            for source, width in zip((in_channels, *widths), widths, strict=False)
        )
        deep = widths[-1]
        self.atrous = nn.Sequential(*(ConvBatchNormReLU(2, deep, deep, THREE, dilation=rate) for rate in RATES))
        self.columns, self.rows = Sweep(deep), Sweep(deep)
        targets = (widths[0], *widths[:-1])  # channels that each stage goes up to
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(width, target, 2, 2) for width, target in zip(widths, targets, strict=True)
        )
        self.decoder = nn.ModuleList(convolutions(ConvBatchNormReLU, 2, (target,) * 3, THREE) for target in targets)
        self.head = nn.Conv2d(widths[0], out_channels, 1)
        self.apply(initialise_he)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of a padded slice."""
        for stage in self.encoder:
            x = self.pool(stage(x))
        x = self.atrous(x)  # (B, deep, H / 8, W / 8)
        context = self.columns(x.transpose(2, 3)).transpose(2, 3)
        x = x + self.rows(context)
        for up, stage in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = stage(up(x))
        return self.head(x)


class Sweep(nn.Module):
    """An LSTM that runs along every row of a map, from both ends: (B, C, H, W) to the same; C is even."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.memory = nn.LSTM(channels, channels // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute what each position knows of its row."""
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        context, _ = self.memory(rows)  # (B * H, W, C)
        return context.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class Discriminator(nn.Module):
    """Tells annotated masks from segmented ones, each convolution twice as wide as the one before.

    Shape:
        masks (B, classes, H, W), soft-max or one-hot, to (B,) logits; H and W 8 at least.
    """

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        source = classes
        for number, kernel in enumerate(KERNELS):
            target = width * 2**number
            layers += [ConvBatchNormReLU(2, source, target, (kernel, kernel)), nn.AvgPool2d(2)]
            source = target
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(source, 1)
        self.apply(initialise_he)

    def forward(self, masks: Tensor) -> Tensor:
        """Compute logits, above 0 for "annotated"."""
        return self.head(self.layers(masks).mean(dim=(2, 3))).squeeze(1)
