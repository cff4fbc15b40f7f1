"""What `wgan_resunet` is compared with: recipes of other trainers, two comparators, and tables 2 to 4 after each.

The labels `axial4` are derived where a data set has whole vertebrae. A comparator's recipe `adapted` learns whatever
labels the data set has, on any plan of slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from torch import nn

from autospine.augmentation import AugmentationSettings
from autospine.core.errors import UserError
from autospine.networks.deeplab import DeepLabV3Plus
from autospine.networks.segnet import SegNet
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.training.trainer import Trainer
from trainers.medfusionnet.comparators import DeepLabV3Trainer
from trainers.unet import ADAPTED, POLY, SGD
from trainers.wgan_resunet.labels import shows_axial
from trainers.wgan_resunet.recipes import PLAN, published
from trainers.wgan_resunet.tables import write_table


class AxialComparison:
    """Recipes by trainer and name, and the tables after a comparator's validation."""

    recipes: ClassVar[Mapping[str, Mapping[str, Recipe]]] = {
        "unet": {
            "axial": replace(published(256, 4), name="axial"),
            "axial_nnunet": replace(
                published(512, 2, {"network": SGD}),
                name="axial_nnunet",
                epochs=1000,
                schedule=POLY,
                augmentation=AugmentationSettings(mirror=False),
                foreground_oversampling=0.33,
            ),
        }
    }

    @staticmethod
    def write_tables(trainer: Trainer, folder: Path, subset: Subset, work: Path) -> None:
        """Write tables 2 to 4 where bodies, foramina and laminae were learnt on axial slices."""
        if trainer.plan.name == PLAN and shows_axial(trainer.derived.scheme, trainer.derived.shown):
            write_table(trainer, folder, subset, work)


class SliceComparator(Trainer):
    """A comparator that sees slices only."""

    width_multiple = 8

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if plan.dimension != 2:
            raise UserError(f"--trainer {self.name}", f"sees slices, {plan.name} volumes", f"use --plan {PLAN}")
        super().__init__(plan, recipe)

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Write tables 2 to 4 where they apply."""
        AxialComparison.write_tables(self, folder, subset, work)


class SegNetTrainer(SliceComparator):
    """VGG-16's convolutions and their mirror image, unpooled where the maxima were (Badrinarayanan et al. 2017)."""

    name = "segnet"
    widths: ClassVar[tuple[int, ...]] = (64, 128, 256, 512, 512)
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED, "published": published(256, 4)}

    def shape(self) -> NetworkShape:
        """Return VGG-16's five stages, whatever the plan."""
        return super().shape().with_stages(self.widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build encoder and decoder of the shape's widths."""
        return SegNet(shape.in_channels, shape.out_channels, shape.widths)


class DeepLabV3PlusTrainer(DeepLabV3Trainer):
    """DeepLab v3 with a decoder that joins low-level features, in 2-D and 3-D (Chen et al. 2018)."""

    name = "deeplabv3plus"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED, "published": published(512, 2)}

    def shape(self) -> NetworkShape:
        """Return output stride 16 along both axes of slices of square pixels; else along the plan's."""
        shape = super().shape()
        return shape.with_stages(self.widths) if PLAN in self.recipe.plans else shape

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the network; the stem's width is the first of the shape's."""
        return DeepLabV3Plus(shape)
