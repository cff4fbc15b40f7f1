"""U-Net++ (Zhou et al. 2018), a comparator: it trains by the baseline's recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import nn

from autospine.networks.shape import NetworkShape
from autospine.networks.unetplusplus import UNetPlusPlus
from autospine.planning.recipe import Recipe
from trainers.unet import ADAPTED, UNetTrainer

DEPTH = 5  # stages of the paper; deeper triangles grow with the square of their depth


class UNetPlusPlusTrainer(UNetTrainer):
    """Nested U-Net with dense skips and deep supervision (Zhou et al. 2018)."""

    name = "unetplusplus"
    recipes: ClassVar[dict[str, Recipe]] = {"adapted": ADAPTED}

    def shape(self) -> NetworkShape:
        """Return the plan's shape, at most five stages deep."""
        plan = super().shape()
        return replace(
            plan,
            widths=plan.widths[:DEPTH],
            kernels=plan.kernels[:DEPTH],
            strides=plan.strides[:DEPTH],
        )

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the nested network."""
        return UNetPlusPlus(shape)
