"""Modified attention U-Net: six levels down and six up, on slices that are interpolated every millimetre.

After Pal et al., "Panoptic segmentation and labelling of lumbar spine vertebrae using modified attention U-Net".

Where the paper is silent or contradicts itself:

- Widths are 32, 64, 128, 256, 512, 512 and a bottleneck of 512, 4 x 4 at 256 x 256 pixels.
- "alpha = 0.6" stands in no formula: it weighs cross-entropy against the instance-aware term.
- Binary cross-entropy with sigmoid is named beside softmax and equation 8: softmax over the labels is taken.
- Equations 2 and 3 put attention into the encoder too, the figure on the skips only: `attend_encoder` adds it.
- Optimiser, epochs and batch are not given: Adam 1e-3, 100 epochs, batch 16.
- Masks of new slices "trace the boundary ... by excluding the 0 valued pixels from the bounding box": the planner's
  masks are shaped (see docs/reconstruction.md); the recipe `published_boxes` takes the literal boxes.
- The split is "random", 80/20 by image; here the work folder's folds, grouped by patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from autospine.networks.attention_unet import AttentionUNet
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from autospine.training.losses.instance import InstanceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.trainer import Options, Trainer
from trainers.attention_unet.recipes import RECIPES


@dataclass(frozen=True)
class AttentionOptions(Options):
    """Choices of the attention U-Net."""

    attend_encoder: bool = False  # attention coefficients on the encoder's own features too (equation 2)
    alpha: float = 0.6  # share of the cross-entropy in the loss; the rest is the instance-aware term


class AttentionUNetTrainer(Trainer):
    """Attention U-Net with six poolings, cross-entropy and an instance-aware Dice term (Pal et al.)."""

    name = "attention_unet"
    plans = ("slice_reconstruction", "2d_sagittal")
    scheme = "lumbar7"
    options_type = AttentionOptions
    options: AttentionOptions
    widths: ClassVar[tuple[int, ...]] = (32, 64, 128, 256, 512, 512, 512)
    width_multiple = 1
    recipes: ClassVar[dict[str, Recipe]] = RECIPES

    def shape(self) -> NetworkShape:
        """Return the paper's stages: six poolings, whatever the plan."""
        return super().shape().with_stages(self.widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build gates on the skips, and in the encoder if asked for."""
        return AttentionUNet(shape, self.options.attend_encoder)

    def loss(self) -> MultiTaskLoss:
        """Return both terms, weighed: alpha * cross-entropy + (1 - alpha) * instance term."""
        return MultiTaskLoss(self.encoding, self.plan.network_axes, InstanceCrossEntropy(self.options.alpha))
