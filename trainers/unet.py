"""The baseline: a U-Net that configures itself to the data set, in 2-D and 3-D.

After nnU-Net (Isensee et al., Nature Methods 2021): deep supervision, Dice and cross-entropy, widths and strides from
the plan. Different from it: levels are numbered by their order, and the widest network is taken that the time allows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from torch import nn

from autospine.augmentation import AugmentationSettings
from autospine.networks.shape import NetworkShape
from autospine.networks.stages import stages
from autospine.networks.unet import UNet
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.planning.splits import Subset
from trainers.safnet.recipes import COMPARED
from trainers.safnet.recipes import PLAN as SAFNET_PLAN
from trainers.safnet.tables import write_table
from trainers.wgan_resunet import recipes
from trainers.wgan_resunet.comparators import AxialComparator

WIDEST = 512
SGD, POLY = OptimiserSettings("sgd", 1e-2, 3e-5, momentum=0.99), ScheduleSettings("poly", warmup=0.0)


class UNetTrainer(AxialComparator):
    """Self-configured U-Net with deep supervision."""

    name = "unet"
    width_multiple = 8
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": Recipe(
            "adapted",
            optimisers={"network": OptimiserSettings("adamw", 2e-3, 1e-2)},
            augmentation=AugmentationSettings(),
            ema_decay=0.99,
        ),
        "classification": Recipe(
            "classification",
            optimisers={"network": OptimiserSettings("adamw", 2e-3, 1e-2)},
            augmentation=AugmentationSettings(),
            ema_decay=0.99,
            learns="classes",
        ),
        "published": Recipe(
            "published",
            epochs=1000,
            optimisers={"network": SGD},
            schedule=POLY,
            augmentation=AugmentationSettings(),
            learns="classes",
            foreground_oversampling=0.33,
        ),
        "safnet": COMPARED,
        "axial": replace(recipes.published(256, 4), name="axial"),
        "axial_nnunet": replace(
            recipes.published(512, 2, {"network": SGD}),
            name="axial_nnunet",
            epochs=1000,
            schedule=POLY,
            augmentation=AugmentationSettings(mirror=False),
            foreground_oversampling=0.33,
        ),
    }

    def shape(self) -> NetworkShape:
        """The plan's; where the recipe fits axial slices, as many stages as their square pixels take."""
        plan = super().shape()
        if not recipes.fits_axial_slices(self.recipe):
            return plan
        kernels, strides = stages(self.patch, (1.0, 1.0))
        widths = tuple(min(plan.widths[0] * 2**stage, WIDEST) for stage in range(len(strides)))
        return replace(plan, widths=widths, kernels=kernels, strides=strides)

    def build(self, shape: NetworkShape) -> nn.Module:
        """A plain-convolution U-Net."""
        return UNet(shape)

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Tables 2 to 4 of axial slices; joins SAFNet's table 1 where volumes were learnt and SAFNet is there."""
        super().write_tables(folder, subset, work)
        if self.plan.name == SAFNET_PLAN:
            write_table(folder)
