"""Generator and critic of Liu et al. 2024 for axial slices, and what their ablation leaves out.

The generator is a residual U-Net of four down-sampling levels whose 3 x 3 convolutions are dilated by 1, 2, 4 and 8,
with an attention block after each of the three deeper levels. The critic sees masks: six strided convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from autospine.networks.blocks import InstanceNorm, initialise_he
from autospine.networks.clustered_attention import Attention, AttentionBlock
from autospine.networks.encoder_decoder import EncoderDecoder
from autospine.networks.shape import NetworkShape

DILATIONS = (1, 2, 4, 8, 1)  # of the four levels, and of the bottom
ATTENDED = (2, 3, 4)  # levels with an attention block
CRITIC_LAYERS = 6
CRITIC_SLOPE = 0.2


@dataclass(frozen=True)
class GeneratorComponents:
    """Components of the paper's ablation."""

    residual: bool = True  # each level adds its input to its output (equation 8)
    dilated: bool = True  # levels are dilated by 1, 2, 4 and 8; else all by 1
    attention: Attention = "clustered"  # "none", "full" or "clustered"
    clusters: int = 64  # of the clustered attention
    heads: int = 4  # of either


FULL = GeneratorComponents()


class ResidualAttentionUNet(EncoderDecoder):
    """The generator: a segmentation network.

    Args:
        shape: Four levels and the bottom, halved before each but the first; widths are multiples of the number of
            heads.
        components: What to build.
    """

    def __init__(self, shape: NetworkShape, components: GeneratorComponents = FULL) -> None:
        super().__init__(shape)
        widths, residual = shape.widths, components.residual
        dilations = DILATIONS if components.dilated else (1,) * len(widths)
        clusters = components.clusters if components.attention == "clustered" else None
        attention: list[nn.Module] = []

        def level(source: int, stage: int) -> Level:
            built = Level(source, widths[stage], dilations[stage], residual)
            attended = stage in ATTENDED and components.attention != "none"
            # After its level, so that initial weights are drawn in this order.
            attention.append(AttentionBlock(widths[stage], components.heads, clusters) if attended else nn.Identity())
            return built

        self.add_encoder(level)
        self.attention = nn.ModuleList(attention)
        self.add_decoder(
            lambda source, stage: Level(source, widths[stage], 1, residual),
            lambda source, stage: nn.ConvTranspose2d(source, widths[stage], 2, 2),
        )
        self.add_heads()
        self.apply(initialise_he)

    def encode(self, stage: int, x: Tensor) -> Tensor:
        """Compute the features of a level, after its attention block where it has one."""
        return self.attention[stage](super().encode(stage, x))


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
        """Compute the level's features."""
        deep = self.branch(x)
        return self.activation(deep + self.shortcut(x) if self.residual else deep)


class Critic(nn.Module):
    """Scores how much a mask resembles an annotated one: six 3x3 convolutions of stride 2 (the paper's figure 5).

    Instance normalisation, since the gradient penalty is one of single samples and batch normalisation would mix them.

    Shape:
        masks (B, classes, H, W), soft-max or one-hot, to (B,) scores, the mean over the last grid.
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
        """Compute the scores, unbounded."""
        return self.layers(masks).flatten(1).mean(1)
