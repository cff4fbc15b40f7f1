"""Spine-GAN (Han et al. 2018), a comparator on slices: a segmenter trained against a discriminator.

512 x 512 and batches of 2 where it is published. The paper's abstract names the components (see
`autospine.networks.spine_gan`). Not the paper's: one discriminator step per segmenter step; pixel-wise cross-entropy
weighted by the inverse root of class frequency, plus Dice, plus 0.05 times the adversarial term; the discriminator sees
class probabilities only, blank where nothing is annotated, and slices with a side below 8 pixels enlarged; it has Adam
1e-4 with a first beta of 0.5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.shape import NetworkShape
from autospine.networks.spine_gan import SMALLEST_SIDE, Discriminator, SpineGenerator
from autospine.planning.plan import Plan
from autospine.planning.recipe import OptimiserSettings, Recipe
from autospine.training.data import Batch, PatchSampler
from autospine.training.losses.adversarial import discriminator_inputs
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.focal import inverse_root_weights
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.trainer import NETWORK, Context
from trainers.unet import ADAPTED
from trainers.wgan_resunet.comparison import SliceComparator
from trainers.wgan_resunet.recipes import ADAM, published

DISCRIMINATOR = "discriminator"
ADVERSARIAL = {"adversarial": 0.05}
MOMENTUM_ADAM = OptimiserSettings("adam", 1e-4, 0.0, momentum=0.5)


class SpineGANTrainer(SliceComparator):
    """Atrous autoencoder with an LSTM over feature positions, trained against a discriminator (Han et al. 2018)."""

    name = "spine_gan"
    widths: ClassVar[tuple[int, ...]] = (64, 128, 256)
    discriminator_width: ClassVar[int] = 32
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": replace(
            ADAPTED,
            optimisers={NETWORK: ADAPTED.optimisers[NETWORK], DISCRIMINATOR: MOMENTUM_ADAM},
            loss_weights=ADVERSARIAL,
        ),
        "published": replace(
            published(512, 2, {NETWORK: ADAM, DISCRIMINATOR: MOMENTUM_ADAM}), loss_weights=ADVERSARIAL
        ),
    }

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        super().__init__(plan, recipe)
        self.class_weights: tuple[float, ...] | None = None  # known when the training cases are

    def shape(self) -> NetworkShape:
        """Return the network's stages: three poolings by two, whatever the plan."""
        return super().shape().with_stages(self.widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the segmenter."""
        return SpineGenerator(shape.in_channels, shape.out_channels, shape.widths)

    def build_all(self, shape: NetworkShape) -> dict[str, nn.Module]:
        """Build the segmenter, and the discriminator of its classes."""
        discriminator = Discriminator(self.encoding.semantic_channels, self.discriminator_width)
        return {NETWORK: self.build(shape), DISCRIMINATOR: discriminator}

    def fit_statistics(self, sampler: PatchSampler) -> None:
        """Weigh classes by how rare they are on the slices that are trained on."""
        self.class_weights = inverse_root_weights(sampler.class_counts())

    def loss(self) -> MultiTaskLoss:
        """Return weighted cross-entropy and Dice, and the terms of ordered labels where the plan has some."""
        loss = super().loss()
        loss.semantic = DiceCrossEntropy(
            self.recipe.weight("dice"), self.recipe.weight("cross_entropy"), class_weights=self.class_weights
        )
        return loss

    def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Update the discriminator once, then the segmenter once."""
        discriminator = context.networks[DISCRIMINATOR]
        with context.precision.autocast(context.device):
            logits = context.networks[NETWORK](batch.images)
        classes = logits[:, : self.encoding.semantic_channels]
        annotated, segmented = discriminator_inputs(context.loss, classes, batch.labels, SMALLEST_SIDE)
        with context.precision.autocast(context.device):
            real, fake = discriminator(annotated).float(), discriminator(segmented.detach()).float()  # (B,)
        discriminator_loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        context.updater.update(DISCRIMINATOR, discriminator_loss)
        with context.precision.autocast(context.device):
            adversarial = F.softplus(-discriminator(segmented).float()).mean()
        terms = context.loss(logits, batch)
        terms["loss"] = terms["loss"] + self.recipe.weight("adversarial") * adversarial
        context.updater.update(NETWORK, terms["loss"])
        terms |= {"adversarial": adversarial, "discriminator": discriminator_loss}
        return {name: term.detach() for name, term in terms.items()}
