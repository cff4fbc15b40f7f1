"""A network of four convolutions, trained as AutoSpine trains."""

from typing import ClassVar

from torch import nn

from autospine.augmentation import AugmentationSettings
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import OptimiserSettings, Recipe
from autospine.training.trainer import Trainer


class SmallNetTrainer(Trainer):
    """What --trainer small_net does."""

    name = "small_net"
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": Recipe(
            "adapted",
            epochs=50,
            optimisers={"network": OptimiserSettings("adamw", learning_rate=3e-3)},
            augmentation=AugmentationSettings(),
        )
    }

    def build(self, shape: NetworkShape) -> nn.Module:
        """The network: `(B, in_channels, *patch)` to `(B, out_channels, *patch)`."""
        convolution = nn.Conv2d if shape.dimension == 2 else nn.Conv3d
        layers: list[nn.Module] = []
        channels = shape.in_channels
        for dilation in (1, 2, 4):
            layers += [convolution(channels, 16, 3, padding=dilation, dilation=dilation), nn.LeakyReLU()]
            channels = 16
        return nn.Sequential(*layers, convolution(channels, shape.out_channels, 1))
