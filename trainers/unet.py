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
from autospine.core import registry
from autospine.networks.shape import NetworkShape, stages
from autospine.networks.unet import UNet
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.planning.splits import Subset
from autospine.training.trainer import Trainer

WIDEST = 512
SGD, POLY = OptimiserSettings("sgd", 1e-2, 3e-5, momentum=0.99), ScheduleSettings("poly", warmup=0.0)
ADAPTED = Recipe(
    "adapted",
    optimisers={"network": OptimiserSettings("adamw", 2e-3, 1e-2)},
    augmentation=AugmentationSettings(),
    ema_decay=0.99,
)
# Contrasts, scanners and pictures that the training cases do not show; chosen by eye.
ROBUST = AugmentationSettings(
    scale=(0.75, 1.3),
    fov_crop_probability=0.15,
    histogram_shift_probability=0.3,
    bias_field_probability=0.4,
    bias_field_strength=(0.1, 0.7),
    low_resolution_probability=0.3,
    low_resolution=(1.0, 4.0),
    synthesis_probability=0.25,
    label_synthesis_probability=0.08,
    random_curve_probability=0.08,
    fat_suppression_probability=0.08,
    anisotropy_probability=0.5,
    slice_blur_probability=0.15,
    gibbs_probability=0.1,
    ghosting_probability=0.1,
    motion_probability=0.1,
    clipping_probability=0.2,
    implant_probability=0.05,
    air_probability=0.12,
    padding_probability=0.12,
)


class UNetTrainer(Trainer):
    """Self-configured U-Net with deep supervision; its subclasses train other networks by its recipe."""

    name = "unet"
    learns_partial_labels = True
    width_multiple = 8
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": ADAPTED,
        "robust": replace(ADAPTED, name="robust", augmentation=ROBUST),
        "classification": replace(ADAPTED, name="classification", learns="classes"),
        "published": Recipe(
            "published",
            epochs=1000,
            optimisers={"network": SGD},
            schedule=POLY,
            augmentation=AugmentationSettings(),
            learns="classes",
            foreground_oversampling=0.33,
        ),
    }

    def shape(self) -> NetworkShape:
        """Return the plan's; where the recipe fits slices to its patch, as many stages as their square pixels take."""
        plan = super().shape()
        fitted = any(transform.name == "fit" for transform in self.recipe.transforms)
        if not (fitted and self.recipe.patch and plan.dimension == 2):
            return plan
        kernels, strides = stages(self.patch, (1.0, 1.0))
        widths = tuple(min(plan.widths[0] * 2**stage, WIDEST) for stage in range(len(strides)))
        return replace(plan, widths=widths, kernels=kernels, strides=strides)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build a plain-convolution U-Net."""
        return UNet(shape)

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Write the tables of papers that compare themselves with this network, where they apply."""
        for name in registry.known("comparisons"):
            registry.load("comparisons", name).write_tables(self, folder, subset, work)
