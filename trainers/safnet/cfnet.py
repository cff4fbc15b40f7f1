"""CFNet (Zhang, Li, Li et al. 2023), a comparator: it trains by the baseline's recipe."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from autospine.networks.cfnet import CFNet
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from trainers.unet import ADAPTED, UNetTrainer


class CFNetTrainer(UNetTrainer):
    """Cascade fusion network, in 2-D and 3-D (Zhang, Li, Li et al. 2023)."""

    name = "cfnet"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED}
    widths: ClassVar[tuple[int, ...]] = (32, 32, 64, 128, 256, 512)  # image, stem twice, three scales

    def shape(self) -> NetworkShape:
        """Return six stages, whatever the plan, strided along the plan's axes."""
        plan, stages = super().shape(), len(self.widths)
        one = (1,) * plan.dimension
        return plan.with_stages(self.widths, (plan.strides + (one,) * stages)[:stages])

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build stem, first group and cascade."""
        return CFNet(shape)
