from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.core.precision import Precision
from autospine.networks.blocks import InstanceNorm
from autospine.networks.wgan_resunet import Critic
from autospine.training.losses.adversarial import CriticTraining, clip_weights, gradient_penalty
from autospine.training.optimisation import OptimizerStep


class Linear(nn.Module):
    """Scores by a dot product, whose gradient is its weight everywhere."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 2, 4, 4), length / 32**0.5))

    def forward(self, masks: Tensor) -> Tensor:
        return (masks * self.weight).flatten(1).sum(1)


def masks(seed: int = 0, size: int = 4, classes: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (3, size, size), generator=generator)
    real = F.one_hot(labels, classes).movedim(-1, 1).float()
    fake = torch.randn(real.shape, generator=generator).softmax(1)
    return real, fake


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 3.0])
def test_the_penalty_is_the_squared_distance_of_the_gradient_from_one(length: float) -> None:
    found = gradient_penalty(Linear(length), *masks()).detach()
    assert float(found) == pytest.approx((length - 1) ** 2, abs=1e-5)


def test_the_penalty_moves_the_critic_towards_gradients_of_one() -> None:
    critic = Linear(3.0)
    gradient_penalty(critic, *masks()).backward()
    assert critic.weight.grad is not None
    assert (critic.weight.grad > 0).all()


def test_the_penalty_of_a_real_critic_agrees_with_finite_differences() -> None:
    """Double backward through convolutions and instance norms."""
    torch.manual_seed(0)
    critic = Critic(2, width=2).double()
    real, fake = (each.double() for each in masks(size=64))
    weight = critic.layers[2].weight
    (expected,) = torch.autograd.grad(penalty(critic, real, fake), weight)
    step = 1e-6
    with torch.no_grad():
        weight[0, 0, 0, 0] += step
    above = penalty(critic, real, fake)
    with torch.no_grad():
        weight[0, 0, 0, 0] -= 2 * step
    slope = (above - penalty(critic, real, fake)) / (2 * step)
    assert float(slope.detach()) == pytest.approx(float(expected[0, 0, 0, 0]), rel=1e-4)


def penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    torch.manual_seed(1)  # the same interpolates
    return gradient_penalty(critic, real, fake)


def test_the_wasserstein_loss_is_the_difference_of_means() -> None:
    critic, (real, fake) = Linear(1.0), masks()
    terms = CriticTraining(constraint="clipping").losses(critic, real, fake)
    difference = critic(real).mean() - critic(fake).mean()
    assert torch.allclose(terms["critic"], -difference)
    assert torch.allclose(terms["wasserstein"], difference)
    penalised = CriticTraining(penalty=7.0).losses(critic, real, fake)
    assert torch.allclose(penalised["critic"], -difference + 7 * penalised["penalty"])
    assert torch.allclose(CriticTraining().generator_loss(critic, fake), -critic(fake).mean())


def test_cross_entropy_is_pytorchs_on_the_scores() -> None:
    critic, (real, fake) = Linear(1.0), masks()
    adversary = CriticTraining("cross_entropy", "none")
    ones, zeros = torch.ones(3), torch.zeros(3)
    bce = F.binary_cross_entropy_with_logits
    expected = bce(critic(real), ones) + bce(critic(fake), zeros)
    assert torch.allclose(adversary.losses(critic, real, fake)["critic"], expected)
    assert torch.allclose(adversary.generator_loss(critic, fake), bce(critic(fake), ones))


def updater_of(critic: nn.Module) -> OptimizerStep:
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.9))
    return OptimizerStep({"critic": critic}, {"critic": optimiser}, {"critic": 0.0}, Precision())


@pytest.mark.parametrize("adversary", [CriticTraining(), CriticTraining("cross_entropy", "none")])
def test_a_trained_critic_tells_the_masks_apart(adversary: CriticTraining) -> None:
    torch.manual_seed(0)
    critic, (real, fake) = Critic(2, width=4), masks(size=64)
    updater = updater_of(critic)
    first = adversary.train(updater, "critic", real, fake)
    for _ in range(5):
        last = adversary.train(updater, "critic", real, fake)
    assert last["critic"] < first["critic"]
    assert last["wasserstein"] > max(float(first["wasserstein"]), 0.1)
    assert not any(term.requires_grad for term in last.values())


def test_the_critic_moves_as_often_as_asked() -> None:
    critic, (real, fake) = Linear(1.0), masks()
    updater = updater_of(critic)
    CriticTraining(steps=4).train(updater, "critic", real, fake)
    assert updater.optimisers["critic"].state[critic.weight]["step"] == 4


def test_clipping_keeps_every_weight_small() -> None:
    torch.manual_seed(0)
    critic, (real, fake) = Critic(2, width=4), masks(size=64)
    CriticTraining(constraint="clipping", clip=0.02).train(updater_of(critic), "critic", real, fake)
    assert largest(critic, nn.Conv2d) == pytest.approx(0.02)
    clip_weights(critic, 0.001)
    assert largest(critic, nn.Conv2d) == pytest.approx(0.001)
    assert largest(critic, InstanceNorm) <= 1


def largest(critic: Critic, kind: type[nn.Module]) -> float:
    modules = [module for module in critic.modules() if isinstance(module, kind)]
    return max(float(weight.detach().abs().max()) for module in modules for weight in module.parameters())


def test_a_clipped_critic_still_tells_the_masks_apart() -> None:
    """Its scores move the generator: gains as small as its weights would leave almost no gradient."""
    torch.manual_seed(0)
    critic, (real, fake) = Critic(2, width=8), masks(size=64)
    adversary, updater = CriticTraining(constraint="clipping"), updater_of(critic)
    for _ in range(20):
        adversary.train(updater, "critic", real, fake)
    annotated, predicted = critic(real), critic(fake.requires_grad_())
    assert annotated.min() > predicted.max()
    (gradient,) = torch.autograd.grad(adversary.generator_loss(critic, fake), fake)
    assert gradient.norm() > 1e-3


def test_scores_stay_float32_under_autocast() -> None:
    critic, (real, fake) = Critic(2, width=4), masks(size=64)
    with torch.autocast("cpu", torch.bfloat16):
        terms = CriticTraining().losses(critic, real, fake)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    alone = CriticTraining(constraint="clipping").losses(critic, real, fake)
    assert torch.equal(terms["wasserstein"], alone["wasserstein"])


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"penalty": -1.0}, {"clip": 0.0}, {"constraint": "none"}],
    ids=lambda change: next(iter(change)),
)
def test_impossible_choices_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=r"steps|constraint"):
        replace(CriticTraining(), **change)
