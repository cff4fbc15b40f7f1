"""Deep residual U-Net (Zhang, Liu and Wang 2018), a comparator: it trains by the baseline's recipe."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from autospine.networks.resunet import ResUNet
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from trainers.unet import ADAPTED, UNetTrainer


class ResUNetTrainer(UNetTrainer):
    """Residual U-Net, in 2-D and 3-D (Zhang, Liu and Wang 2018)."""

    name = "resunet"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED}

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build residual units on the plan's stages."""
        return ResUNet(shape)
