"""Residual U-Net with clustered attention, trained against a Wasserstein critic, on axial slices.

After Liu et al. 2024, "WGAN-based multi-structure segmentation of vertebral cross-section MRI using ResU-Net and
clustered transformer".

Where the paper is silent or contradicts itself:

- Labels of body, foramen and lamina are derived from whole vertebrae and canal (see docs/axial.md), where the data set
  does not have them.
- The attention block stands "between each downsampling layer" and on "deep features": after the three deeper levels.
  64 clusters, 4 heads; widths 32 to 512.
- The critic has a Wasserstein objective with a Lipschitz constraint (equations 2 and 7) and, elsewhere, the sigmoid
  cross-entropy of equation 5: Wasserstein with gradient penalty 10 is taken, the others are options.
- How often the critic is updated is not said: five times for each update of the generator, on the same batch (whose
  masks the generator has then predicted once), each with new interpolates. So an update and an epoch mean the same for
  the generator with and without its critic; in a time budget it gets fewer of them with it.
- Weights of the loss are not given: 0.01 * adversarial + cross-entropy + Dice. Adam 1e-4 with betas 0.5 and 0.9.
- Its histogram threshold was chosen by hand: Otsu's. Rotation and "cropping" of the slices: up to 15 degrees, and
  windows down to four fifths of a side.
- "60 % training, 10 % validation, and 30 % testing" in five folds: by patient; --split slices splits slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from autospine.augmentation import AugmentationSettings
from autospine.networks.clustered_attention import Attention
from autospine.networks.shape import NetworkShape
from autospine.networks.wgan_resunet import CRITIC_LAYERS, Critic, GeneratorComponents, ResidualAttentionUNet
from autospine.planning.recipe import OptimiserSettings, Recipe
from autospine.planning.splits import Subset
from autospine.training.data import Batch
from autospine.training.losses.adversarial import Constraint, CriticTraining, Kind, discriminator_inputs
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.trainer import Context, Options, Trainer
from trainers.wgan_resunet.ablation import ABLATION
from trainers.wgan_resunet.recipes import DERIVATION, PLAN, published
from trainers.wgan_resunet.tables import write_table

GENERATOR, CRITIC = "generator", "critic"
SIDE = 512  # pixels
SMALLEST_SIDE = 2**CRITIC_LAYERS  # of the masks that the critic sees: it halves them that often
HEADS = 4


@dataclass(frozen=True)
class WGANOptions(Options):
    """Choices of the trainer; the first three and `adversarial` are those of the paper's ablation."""

    # residual, dilated, attention, clusters: of the generator, see `GeneratorComponents`.
    residual: bool = True
    dilated: bool = True
    attention: Attention = "clustered"
    clusters: int = 64
    adversarial: bool = True  # whether there is a critic at all
    # critic, constraint, penalty, clip, critic_steps: of the critic, see `CriticTraining`.
    critic: Kind = "wasserstein"
    constraint: Constraint = "penalty"
    penalty: float = 10.0
    clip: float = 0.01
    critic_steps: int = 5
    # alpha, beta, gamma: weights of the adversarial term, cross-entropy and Dice (equation 1).
    alpha: float = 0.01
    beta: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters is {self.clusters}, not at least 1")
        if min(self.alpha, self.beta, self.gamma) < 0 or self.beta == self.gamma == 0:
            raise ValueError(f"weights of {self.alpha:g}, {self.beta:g} and {self.gamma:g}")
        _ = self.critic_training  # refuses its numbers

    @property
    def components(self) -> GeneratorComponents:
        """Return the components of the generator."""
        return GeneratorComponents(self.residual, self.dilated, self.attention, self.clusters, HEADS)

    @property
    def critic_training(self) -> CriticTraining:
        """Return how the critic is trained."""
        return CriticTraining(self.critic, self.constraint, self.penalty, self.clip, self.critic_steps)


ADAM = OptimiserSettings("adam", 1e-4, 0.0, momentum=0.5, second_beta=0.9, clip_norm=0.0)


class WGANResUNetTrainer(Trainer):
    """Residual U-Net with clustered attention as the generator of a WGAN (Liu et al. 2024)."""

    name = "wgan_resunet"
    plans = (PLAN,)
    scheme = "axial4"
    inference = GENERATOR
    ablation = ABLATION
    options_type = WGANOptions
    options: WGANOptions
    widths: ClassVar[tuple[int, ...]] = (32, 64, 128, 256, 512)
    width_multiple = HEADS
    critic_width: ClassVar[int] = 32
    recipes: ClassVar[dict[str, Recipe]] = {
        "adapted": Recipe(
            "adapted",
            optimisers={
                GENERATOR: OptimiserSettings("adam", 1e-3, 0.0, momentum=0.5, second_beta=0.9),
                CRITIC: ADAM,
            },
            augmentation=AugmentationSettings(),
            learns="classes",
            transforms=(DERIVATION,),
            ema_decay=0.99,
        ),
        "published": published(SIDE, 4, {GENERATOR: ADAM, CRITIC: ADAM}),
    }

    def shape(self) -> NetworkShape:
        """Return the paper's stages: four poolings by two, whatever the plan."""
        return super().shape().with_stages(self.widths)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the generator with the components that the options leave."""
        return ResidualAttentionUNet(shape, self.options.components)

    def build_all(self, shape: NetworkShape) -> dict[str, nn.Module]:
        """Build the generator and, unless it trains alone, the critic."""
        networks = {GENERATOR: self.build(shape)}
        if self.options.adversarial:
            networks[CRITIC] = Critic(shape.out_channels, self.critic_width)
        return networks

    def loss(self) -> MultiTaskLoss:
        """Return cross-entropy and Dice (equations 3 and 4)."""
        loss = DiceCrossEntropy(self.options.gamma, self.options.beta)
        return MultiTaskLoss(self.encoding, self.plan.network_axes, loss)

    def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Update the critic on the generator's masks, then the generator (equations 1 and 2)."""
        if not self.options.adversarial:
            return super().training_step(context, batch)
        critic_training, critic = self.options.critic_training, context.networks[CRITIC]
        with context.precision.autocast(context.device):
            logits = context.networks[GENERATOR](batch.images)
        real, fake = discriminator_inputs(context.loss, logits, batch.labels, SMALLEST_SIDE)
        critic_terms = critic_training.train(context.updater, CRITIC, real, fake.detach())
        semantic = context.loss(logits, batch)["loss"]
        adversarial = critic_training.generator_loss(critic, fake)
        loss = semantic + self.options.alpha * adversarial
        context.updater.update(GENERATOR, loss)
        terms = {"loss": loss, "semantic": semantic, "adversarial": adversarial}
        return {**{name: term.detach() for name, term in terms.items()}, **critic_terms}

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Write tables 2 to 4, with the published figures."""
        write_table(self, folder, subset, work)
