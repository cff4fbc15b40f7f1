"""Generator and critic of Liu et al. 2024 for axial slices, and what their ablation leaves out.

The generator is a residual U-Net of four down-sampling levels whose 3 x 3 convolutions are dilated by 1, 2, 4 and 8,
with an attention block after each of the three deeper levels. The critic looks at masks: six strided convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autospine.networks.blocks import (
    InstanceNorm,
    crop_to,
    initialise_he,
    pad_to_multiple,
)
from autospine.networks.clustered_attention import Attention, AttentionBlock

DILATIONS = (1, 2, 4, 8, 1)  # of the four levels, and of the bottom
ATTENDED = (2, 3, 4)  # levels with an attention block
CRITIC_LAYERS = 6
CRITIC_SLOPE = 0.2


@dataclass(frozen=True)
class GeneratorParts:
    """Parts of the paper's ablation.

    Attributes:
        residual: Each level adds its input to its output (equation 8).
        dilated: Levels are dilated by 1, 2, 4 and 8; else all by 1.
        attention: "none", "full" or "clustered".
        clusters: Of the clustered attention.
        heads: Of either.
    """

    residual: bool = True
    dilated: bool = True
    attention: Attention = "clustered"
    clusters: int = 64
    heads: int = 4


class ResidualAttentionUNet(nn.Module):
    """The generator: a segmentation network.

    Shape:
        (B, in_channels, H, W) of any size to (B, out_channels, H, W) logits.

    Args:
        in_channels: Of the image.
        out_channels: Classes, background included.
        widths: Of the levels and the bottom, five multiples of the number of heads.
        parts: What to build.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: tuple[int, ...] = (32, 64, 128, 256, 512),
        parts: GeneratorParts | None = None,
    ) -> None:
        super().__init__()
        parts = parts or GeneratorParts()
        self.pool = nn.MaxPool2d(2)
        self.encoder, self.attention = nn.ModuleList(), nn.ModuleList()
        for level, source in enumerate((in_channels, *widths[:-1])):
            dilation = DILATIONS[level] if parts.dilated else 1
            self.encoder.append(Level(source, widths[level], dilation, parts.residual))
            attended = level in ATTENDED and parts.attention != "none"
            clusters = parts.clusters if parts.attention == "clustered" else None
            block = AttentionBlock(widths[level], parts.heads, clusters) if attended else nn.Identity()
            self.attention.append(block)
        finer = range(len(widths) - 1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[k + 1], widths[k], 2, 2) for k in finer)
        self.decoder = nn.ModuleList(Level(2 * widths[k], widths[k], 1, parts.residual) for k in finer)
        self.head = nn.Conv2d(widths[0], out_channels, 1)
        self.apply(initialise_he)

    @property
    def scale_factor(self) -> tuple[int, int]:
        """The multiple, per axis, that sizes have inside."""
        side = 2 ** len(self.up)
        return side, side

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the slice `x`."""
        size = list(x.shape[2:])
        x = pad_to_multiple(x, self.scale_factor)
        skips: list[Tensor] = []
        for level, (encode, attend) in enumerate(zip(self.encoder, self.attention, strict=True)):
            x = attend(encode(x if level == 0 else self.pool(x)))
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.decoder[level](torch.cat((self.up[level](x), skips[level]), 1))
        return crop_to(self.head(x), size)


class Level(nn.Module):
    """Two dilated 3x3 convolutions with batch normalisation; residual if asked for.

    Shape:
        (B, in_channels, H, W) to (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int, residual: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.residual = residual
        same = in_channels == out_channels or not residual
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The level's features."""
        deep = self.branch(x)
        return self.activation(deep + self.shortcut(x) if self.residual else deep)


class Critic(nn.Module):
    """Says how much a mask looks like an annotated one; six 3x3 convolutions of stride 2 (the paper's figure 5).

    Instance normalisation, since the gradient penalty is one of single samples and batch normalisation would mix them.

    Shape:
        masks (B, classes, H, W), soft-max or one-hot, to (B,) scores, the mean over the last grid.

    Args:
        classes: Channels of the masks, background included.
        width: Of the first convolution; doubled by each until 8 times it.
    """

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        source = classes
        for number in range(CRITIC_LAYERS):
            last = number == CRITIC_LAYERS - 1
            target = 1 if last else width * min(2**number, 8)
            layers.append(nn.Conv2d(source, target, 3, 2, 1))
            if 0 < number < CRITIC_LAYERS - 1:
                layers.append(InstanceNorm(target))
            if not last:
                layers.append(nn.LeakyReLU(CRITIC_SLOPE))
            source = target
        self.layers = nn.Sequential(*layers)

    def forward(self, masks: Tensor) -> Tensor:
        """Scores, unbounded."""
        return self.layers(masks).flatten(1).mean(1)
