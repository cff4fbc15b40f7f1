"""The modified U-Net: focal and Dice loss on cleaned and filtered sagittal slices.

After Ahmed et al. 2024, "Pioneering precision in lumbar spine MRI segmentation with advanced deep learning and data
enhancement".

Where the paper is silent or contradicts itself:

- "512 by 640" pixels: 640 rows and 512 columns, aspect kept, the rest black.
- Widths are 32, 64, 128, 256, 512; the additional 512-channel layer opens the expansive path; dropout of 0.2 in the
  contracting path; ReLU outside the up-sample blocks.
- gamma of the focal loss is 4.0 twice and 0.4 once: 4.0. Its alpha_i are the inverse square roots of the class
  frequencies on the slices trained on, with a mean of 1; the other alpha, 0.6, weighs focal against Dice.
- The mean IoU that chooses the weights is that of the three structures. The paper's is over "all classes"; the
  background adds a number near 1 to every epoch's mean.
- Optimiser and patience are not given: Adam 1e-3, 15 epochs. Intensities: 0 to 1, as a PNG's are.
- Splits are not described: 80/10/10 by slices, as is usual where volumes are turned into PNG files. `adapted` takes the
  work folder's folds, grouped by patient.
- T1, T2 and T2_SPACE are trained one by one: --sequence. Without it, one model learns all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from autospine.core.workspace import WorkFolder
from autospine.networks.modified_unet import ModifiedUNet
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.training.data import PatchSampler
from autospine.training.losses.focal import FocalDice, inverse_root_weights
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.trainer import Options, Trainer
from trainers.modified_unet.recipes import RECIPES
from trainers.modified_unet.tables import write_table


@dataclass(frozen=True)
class ModifiedUNetOptions(Options):
    """Choices of the modified U-Net."""

    dropout: float = 0.2  # share of the features dropped in the contracting path
    alpha: float = 0.6  # share of the focal term in the loss; the rest is Dice
    gamma: float = 4.0  # of the focal term; the paper's other number is 0.4


class ModifiedUNetTrainer(Trainer):
    """U-Net with LeakyReLU up-sample blocks, Glorot weights, focal and Dice loss (Ahmed et al. 2024)."""

    name = "modified_unet"
    plans = ("2d_sagittal",)
    scheme = "semantic4"
    needs_all_classes = True
    options_type = ModifiedUNetOptions
    options: ModifiedUNetOptions
    widths: ClassVar[tuple[int, ...]] = (32, 64, 128, 256, 512)
    width_multiple = 1
    recipes: ClassVar[dict[str, Recipe]] = RECIPES

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        super().__init__(plan, recipe)
        self.class_weights: tuple[float, ...] | None = None  # known when the training cases are

    def shape(self) -> NetworkShape:
        """Return the paper's stages: four poolings by two, whatever the plan."""
        return super().shape().with_stages(self.widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the network of the paper's figure 7."""
        return ModifiedUNet(shape, self.options.dropout)

    def fit_statistics(self, sampler: PatchSampler) -> None:
        """Weigh classes by how rare they are on the slices that are trained on."""
        self.class_weights = inverse_root_weights(sampler.class_counts())

    def loss(self) -> MultiTaskLoss:
        """Return 0.6 * focal + 0.4 * Dice."""
        loss = FocalDice(self.options.alpha, self.options.gamma, class_weights=self.class_weights)
        return MultiTaskLoss(self.encoding, self.plan.network_axes, loss)

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Write table 2, with the published figures."""
        write_table(folder, subset, WorkFolder(work), self.plan.scheme, self.plan.view_axis or 0)
