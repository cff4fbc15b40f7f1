"""What SAFNet is compared with: a recipe of other trainers, CFNet, and table 1 after each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import nn

from autospine.networks.cfnet import CFNet
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.training.trainer import Trainer
from trainers.safnet.recipes import COMPARED, PLAN
from trainers.safnet.tables import write_table
from trainers.unet import ADAPTED, UNetTrainer


class SAFNetComparison:
    """Recipes by trainer and name, and the table after a comparator's validation."""

    recipes: ClassVar[Mapping[str, Mapping[str, Recipe]]] = {
        name: {COMPARED.name: COMPARED} for name in ("unet", "resunet", "deeplabv3", "cfnet")
    }

    @staticmethod
    def write_tables(trainer: Trainer, folder: Path, subset: Subset, work: Path) -> None:
        """Write SAFNet's table 1 again where volumes were learnt and SAFNet is there."""
        if trainer.plan.name == PLAN:
            write_table(folder)


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
