"""SAFNet: a residual encoder with pyramid pooling, self-attention and multi-scale fusion, on volumes of thick slices.

After Yilihamu et al. 2023, "A spine segmentation method based on scene aware fusion network".

Where the paper is silent or contradicts itself:

- Equation 9 is a binary cross-entropy per class, the text says pixel-wise cross-entropy, as do the comparators:
  cross-entropy. The recipe `published_literal` takes equation 9.
- The best checkpoint, and the plateau of the learning rate, watch mean Dice on the validation cases; the paper says
  accuracy, which the background rules. `published_literal` takes accuracy.
- Augmentation is named, not measured: rotation by up to 10 degrees, contrast by up to a quarter, elastic displacement
  of 2 pixels in the standard deviation, at most.
- "138, 4 and 30 samples": in proportion elsewhere, by patient, one at least for each part.
- A batch of 8 that does not fit into the memory is worked through in micro-batches whose gradients are added up.
  The statistics of batch normalisation are then those of a micro-batch, not of all 8. (The paper's two GPUs halved
  them, too.)
- Two of the challenge's 19 structures, T9 and T9/T10, are left out, which is why its scheme has 17.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from torch import nn

from autospine.augmentation import AugmentationSettings
from autospine.networks.safnet import SAFNet, SAFNetComponents
from autospine.networks.shape import SHARES, NetworkShape
from autospine.planning.recipe import OptimiserSettings, Recipe
from autospine.planning.splits import Subset
from autospine.training.losses.binary import BinaryCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.trainer import Options, Trainer
from trainers.safnet.ablation import ABLATION
from trainers.safnet.recipes import PLAN, PUBLISHED
from trainers.safnet.tables import write_table

STEP = 8  # widths are multiples of it
STRIDES = ((1, 1, 1), *((1, 2, 2),) * 4)


@dataclass(frozen=True)
class SAFNetOptions(Options):
    """Choices of SAFNet; the first three are components of the network (the paper's table 2)."""

    pyramid: bool = True
    fusion: bool = True
    attention: bool = True
    loss: Literal["cross_entropy", "binary"] = "cross_entropy"  # "binary" for equation 9


class SAFNetTrainer(Trainer):
    """Scene-aware fusion network on 18 structures of the lower spine (Yilihamu et al. 2023)."""

    name = "safnet"
    plans = (PLAN,)
    scheme = "mrspineseg18"
    ablation = ABLATION
    options_type = SAFNetOptions
    options: SAFNetOptions
    widths: ClassVar[tuple[int, ...]] = (32, 64, 128, 128, 128)  # two convolutions, low, mid, high
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": Recipe(
            "adapted",
            optimisers={"network": OptimiserSettings("adam", 4e-3, 1e-4)},
            batch=1,  # per-level classification takes many updates, not many volumes in each
            augmentation=AugmentationSettings(elastic_probability=0.2),
            learns="classes",
            ema_decay=0.99,
        ),
        "published": PUBLISHED,
        "published_literal": replace(
            PUBLISHED, name="published_literal", options={"loss": "binary"}, monitor="accuracy"
        ),
    }

    def shape(self) -> NetworkShape:
        """Return stages halved in-plane four times, never across slices, whatever the plan."""
        return super().shape().with_stages(self.widths, STRIDES)

    def width_options(self) -> Sequence[NetworkShape]:
        """Return a quarter to all of the width where the recipe is free; the paper's alone where it is not."""
        full = self.shape()
        if self.recipe.patch:
            return (full,)
        widths = (max(int(full.widths[-1] * share) // STEP * STEP, STEP) for share in SHARES)
        return tuple(replace(full, widths=(w // 4, w // 2, w, w, w)) for w in widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the paper's figure 2 with the components that the options leave."""
        return SAFNet(shape.in_channels, shape.out_channels, shape.widths[-1], self.components)

    @property
    def components(self) -> SAFNetComponents:
        """Return the components of the network."""
        return SAFNetComponents(self.options.pyramid, self.options.fusion, self.options.attention)

    def loss(self) -> MultiTaskLoss:
        """Return cross-entropy, with Dice beside it where the recipe weighs that; or equation 9."""
        if self.options.loss == "cross_entropy":
            return super().loss()
        return MultiTaskLoss(self.encoding, self.plan.network_axes, BinaryCrossEntropy())

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Write table 1 of the folds that are scored so far, unless components are left out."""
        if self.components == SAFNetComponents():
            write_table(folder)
