"""U-Net++, residual U-Net and DeepLab v3: MedFusionNet's members beside the baseline, trained by its recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import nn

from autospine.networks.deeplab import DeepLabV3
from autospine.networks.resunet import ResUNet
from autospine.networks.shape import NetworkShape
from autospine.networks.unetplusplus import UNetPlusPlus
from autospine.planning.recipe import Recipe
from trainers.unet import ADAPTED, UNetTrainer

DEPTH = 5  # stages of U-Net++; deeper triangles grow with the square of their depth
STAGES = 5  # of DeepLab: image, stem, pooling, two strided ones: output stride 16


class UNetPlusPlusTrainer(UNetTrainer):
    """Nested U-Net with dense skips and deep supervision (Zhou et al. 2018)."""

    name = "unetplusplus"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED}

    def shape(self) -> NetworkShape:
        """Return the plan's shape, at most five stages deep."""
        plan = super().shape()
        return replace(plan, widths=plan.widths[:DEPTH], kernels=plan.kernels[:DEPTH], strides=plan.strides[:DEPTH])

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the nested network."""
        return UNetPlusPlus(shape)


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


class ResUNetTrainer(UNetTrainer):
    """Residual U-Net, in 2-D and 3-D (Zhang, Liu and Wang 2018)."""

    name = "resunet"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED}

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build residual units on the plan's stages."""
        return ResUNet(shape)
