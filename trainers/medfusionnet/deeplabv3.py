"""DeepLab v3 (Chen et al. 2017), a comparator: it trains by the baseline's recipe."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from autospine.networks.deeplabv3 import DeepLabV3
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from trainers.unet import ADAPTED, UNetTrainer

STAGES = 5  # image, stem, pooling, two strided stages: output stride 16


class DeepLabV3Trainer(UNetTrainer):
    """Dilated ResNet-50 with atrous spatial pyramid pooling, in 2-D and 3-D (Chen et al. 2017)."""

    name = "deeplabv3"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED}
    widths: ClassVar[tuple[int, ...]] = (64,) * STAGES  # of the stem

    def shape(self) -> NetworkShape:
        """Return ResNet-50's stages, strided along the plan's axes."""
        plan = super().shape()
        one = (1,) * plan.dimension
        return plan.with_stages(self.widths, (plan.strides + (one,) * STAGES)[:STAGES])

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the network; the stem's width is the first of the shape's."""
        return DeepLabV3(shape)
