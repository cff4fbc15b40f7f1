"""The baseline: a U-Net that configures itself to the data set, in 2-D and 3-D.

After nnU-Net (Isensee et al., Nature Methods 2021): deep supervision, Dice and cross-entropy, widths and strides from
the plan. Different from it: levels are numbered by their order, and the widest network is taken that the time allows.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import nn

from autospine.augmentation import AugmentationSettings
from autospine.dataset.splits import Part
from autospine.networks.shape import NetworkShape
from autospine.networks.unet import UNet
from autospine.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.training.trainer import Trainer
from trainers.safnet_protocol import COMPARED
from trainers.safnet_protocol import PLAN as SAFNET_PLAN
from trainers.safnet_table import write_table


class UNetTrainer(Trainer):
    """Self-configured U-Net with deep supervision."""

    name = "unet"
    width_multiple = 8
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": Recipe(
            "adapted",
            optimisers={"network": OptimiserSettings("adamw", 2e-3, 1e-2)},
            augmentation=AugmentationSettings(),
            average=0.99,
        ),
        "classification": Recipe(
            "classification",
            optimisers={"network": OptimiserSettings("adamw", 2e-3, 1e-2)},
            augmentation=AugmentationSettings(),
            average=0.99,
            learns="classes",
        ),
        "published": Recipe(
            "published",
            epochs=1000,
            optimisers={"network": OptimiserSettings("sgd", 1e-2, 3e-5, momentum=0.99)},
            schedule=ScheduleSettings("poly", warmup=0.0),
            augmentation=AugmentationSettings(),
            learns="classes",
            foreground=0.33,
        ),
        "safnet": COMPARED,
    }

    def build(self, shape: NetworkShape) -> nn.Module:
        """A plain-convolution U-Net."""
        return UNet(shape)

    def write_tables(self, folder: Path, part: Part, work: Path) -> None:
        """Joins SAFNet's table 1 where volumes were learnt, and SAFNet is there to be compared with."""
        if self.plan.name == SAFNET_PLAN:
            write_table(folder)
