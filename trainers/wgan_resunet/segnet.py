"""SegNet (Badrinarayanan et al. 2017), a comparator on slices: 256 x 256 and batches of 4 where it is published."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from autospine.networks.segnet import SegNet
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from trainers.unet import ADAPTED
from trainers.wgan_resunet.comparison import SliceComparator
from trainers.wgan_resunet.recipes import published


class SegNetTrainer(SliceComparator):
    """VGG-16's convolutions and their mirror image, unpooled where the maxima were (Badrinarayanan et al. 2017)."""

    name = "segnet"
    widths: ClassVar[tuple[int, ...]] = (64, 128, 256, 512, 512)
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": ADAPTED,
        "published": published(256, 4),
    }

    def shape(self) -> NetworkShape:
        """Return VGG-16's five stages, whatever the plan."""
        return super().shape().with_stages(self.widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build encoder and decoder of the shape's widths."""
        return SegNet(shape.in_channels, shape.out_channels, shape.widths)
