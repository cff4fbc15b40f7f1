"""DeepLab v3+ (Chen et al. 2018), a comparator: 512 x 512 and batches of 2 where it is published for axial slices."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from autospine.networks.deeplabv3plus import DeepLabV3Plus
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from trainers.medfusionnet.deeplabv3 import DeepLabV3Trainer
from trainers.unet import ADAPTED
from trainers.wgan_resunet.recipes import PLAN, published


class DeepLabV3PlusTrainer(DeepLabV3Trainer):
    """DeepLab v3 with a decoder that joins low-level features, in 2-D and 3-D (Chen et al. 2018)."""

    name = "deeplabv3plus"
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": ADAPTED,
        "published": published(512, 2),
    }

    def shape(self) -> NetworkShape:
        """Return output stride 16 along both axes of slices of square pixels; else along the plan's."""
        shape = super().shape()
        return shape.with_stages(self.widths) if PLAN in self.recipe.plans else shape

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the network; the stem's width is the first of the shape's."""
        return DeepLabV3Plus(shape)
