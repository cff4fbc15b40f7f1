"""A critic of masks, trained against a segmentation network: its losses, its constraint, its updates.

The critic's numbers stay in float32 outside of autocast, since its gradient penalty is differentiated twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import InstanceNorm
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.optimisation import OptimizerStep

Kind = Literal["wasserstein", "cross_entropy"]
Constraint = Literal["penalty", "clipping", "none"]


@dataclass(frozen=True)
class CriticTraining:
    """How a critic is trained.

    Raises:
        ValueError: Numbers out of range, or a Wasserstein critic without constraint.
    """

    # "wasserstein": it tells annotated masks from predicted ones by the difference of their mean scores (Arjovsky et
    # al. 2017). "cross_entropy": by the sigmoid cross-entropy of its scores.
    kind: Kind = "wasserstein"
    # What keeps the critic Lipschitz: "penalty" on gradients whose norm is not 1 (Gulrajani et al. 2017), "clipping" of
    # weights (Arjovsky et al. 2017), or "none", which a Wasserstein critic cannot do with.
    constraint: Constraint = "penalty"
    penalty: float = 10.0  # weight of the former
    clip: float = 0.01  # largest weight of the latter, see `clip_weights`
    steps: int = 5  # updates of the critic for one of the segmentation network

    def __post_init__(self) -> None:
        if self.steps < 1 or self.penalty < 0 or self.clip <= 0:
            raise ValueError(f"steps {self.steps}, penalty {self.penalty:g}, clip {self.clip:g}")
        if self.kind == "wasserstein" and self.constraint == "none":
            raise ValueError("a Wasserstein critic needs a constraint: its scores would grow without end")

    def train(self, updater: OptimizerStep, name: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Update the critic on one batch, each time with interpolates of its own.

        Args:
            updater: Of the networks.
            name: The critic's.
            real: Annotated masks, `(B, classes, *spatial)` float32, one-hot.
            fake: Predicted ones, soft-max, without a graph.

        Returns:
            From before the last update: "critic", its whole loss; "wasserstein", mean score of annotated masks minus
            that of predicted ones; "penalty" where there is one.
        """
        terms: dict[str, Tensor] = {}
        for _ in range(self.steps):
            terms = self.losses(updater.networks[name], real, fake)
            updater.update(name, terms["critic"])
            if self.constraint == "clipping":
                clip_weights(updater.networks[name], self.clip)
        return {key: term.detach() for key, term in terms.items()}

    def losses(self, critic: nn.Module, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Compute the terms of `train`, with their graph."""
        with torch.autocast(real.device.type, enabled=False):
            annotated, predicted = scores(critic, real), scores(critic, fake)
            difference = annotated.mean() - predicted.mean()
            loss = -difference
            if self.kind == "cross_entropy":
                loss = F.softplus(-annotated).mean() + F.softplus(predicted).mean()
            if self.constraint != "penalty":
                return {"critic": loss, "wasserstein": difference}
            penalty = gradient_penalty(critic, real, fake)
            return {
                "critic": loss + self.penalty * penalty,
                "wasserstein": difference,
                "penalty": penalty,
            }

    def generator_loss(self, critic: nn.Module, fake: Tensor) -> Tensor:
        """Compute the segmentation network's term: small where the critic takes its masks for annotated ones.

        Minus the mean score; for cross-entropy, whose scores have no bound, the cross-entropy towards "annotated".
        """
        with torch.autocast(fake.device.type, enabled=False):
            score = scores(critic, fake)
            return F.softplus(-score).mean() if self.kind == "cross_entropy" else -score.mean()


def scores(critic: nn.Module, masks: Tensor) -> Tensor:
    """Compute the critic's `(B,)` scores; a compiled network's gradient could not be differentiated again."""
    return critic.forward(masks)


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Compute the mean of (|gradient| - 1)^2 between pairs of masks (Gulrajani et al. 2017, algorithm 1).

    Args:
        critic: Scores each sample on its own.
        real: `(B, classes, *spatial)` float32.
        fake: The same, same shape.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(scores(critic, between).sum(), between, create_graph=True)
    length = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()  # differentiable where the gradient is 0
    return (length - 1).square().mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float) -> None:
    """Clip weights and biases of convolutions to [-limit, limit], gains and shifts of normalisations to [-1, 1].

    Arjovsky et al. 2017 clip every weight alike. Gains of 0.01 would leave features so small that the next
    normalisation's epsilon outweighs them, and of the critic's gradient almost nothing; left free, they would let the
    scores grow without end.
    """
    for module in critic.modules():
        bound = 1.0 if isinstance(module, InstanceNorm) else limit
        for weight in module.parameters(recurse=False):
            weight.clamp_(-bound, bound)


def discriminator_inputs(
    loss: MultiTaskLoss, logits: Tensor, labels: Tensor, smallest_side: int
) -> tuple[Tensor, Tensor]:
    """Return annotated and predicted masks, 0 where nothing is annotated.

    Sides below the smallest one are made longer by repeating pixels.

    Args:
        loss: Knows the class of each label.
        logits: `(B, classes, H, W)` of any floating type.
        labels: `(B, H, W)` train ids.
        smallest_side: Of the masks, pixels: the critic halves them at every stage.

    Returns:
        Annotated (one-hot) and predicted (soft-max) masks, `(B, classes, H', W')` float32.
    """
    classes = loss.class_of[labels.long()]  # (B, H, W), -1 where not annotated
    counts = (classes >= 0)[:, None].float()  # (B, 1, H, W)
    real = F.one_hot(classes.clamp(min=0), logits.shape[1]).movedim(-1, 1).float() * counts
    fake = logits.float().softmax(1) * counts
    for axis in (2, 3):
        times = -(-smallest_side // real.shape[axis])
        if times > 1:
            real, fake = (torch.repeat_interleave(masks, times, axis) for masks in (real, fake))
    return real, fake
