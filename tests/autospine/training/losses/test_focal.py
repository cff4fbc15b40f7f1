"""The focal and Dice loss against a formula written out, and against MONAI."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.focal import FocalDice, inverse_root_weights

monai_losses = pytest.importorskip("monai.losses", reason="MONAI is the oracle")


def made(seed: int = 0, classes: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn((2, classes, 5, 7), generator=generator, dtype=dtype)
    return logits, torch.randint(0, classes, (2, 5, 7), generator=generator)


def naive(logits: Tensor, labels: Tensor, gamma: float, weights: list[float]) -> float:
    """The paper's sum, pixel by pixel and class by class, over the pixels."""
    probabilities, total = logits.softmax(1).numpy(), 0.0
    for index in np.ndindex(*labels.shape):
        for k, alpha in enumerate(weights):
            p = probabilities[index[0], k, index[1], index[2]]
            total -= alpha * (1 - p) ** gamma * float(labels[index] == k) * np.log(p)
    return total / labels.numel()


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.4, 1.0, 4.0]), st.integers(2, 5))
def test_the_focal_term_is_the_papers_sum(seed: int, gamma: float, classes: int) -> None:
    logits, labels = made(seed, classes)
    weights = [0.5 + k for k in range(classes)]
    found = FocalDice(1.0, gamma, class_weights=weights)(logits, labels)
    assert float(found) == pytest.approx(naive(logits, labels, gamma, weights), rel=1e-9)


@pytest.mark.parametrize("gamma", [0.4, 2.0, 4.0])
def test_the_focal_term_agrees_with_monai(gamma: float) -> None:
    """MONAI's mean is over the classes as well."""
    logits, labels = made(classes=4)
    weights = [0.2, 1.0, 1.5, 1.3]
    oracle = monai_losses.FocalLoss(gamma=gamma, weight=weights, to_onehot_y=True, use_softmax=True)
    found = FocalDice(1.0, gamma, class_weights=weights)(logits, labels)
    assert float(found) == pytest.approx(4 * float(oracle(logits, labels[:, None])), rel=1e-6)


def test_alpha_blends_focal_and_dice() -> None:
    logits, labels = made()
    focal, dice = FocalDice(1.0, 4.0)(logits, labels), DiceCrossEntropy(1.0, 0.0)(logits, labels)
    both = FocalDice(0.6, 4.0)(logits, labels)
    assert float(both) == pytest.approx(0.6 * float(focal) + 0.4 * float(dice))
    assert float(FocalDice(0.0)(logits, labels)) == pytest.approx(float(dice))


def test_without_gamma_it_is_the_cross_entropy() -> None:
    logits, labels = made()
    assert float(FocalDice(1.0, 0.0)(logits, labels)) == pytest.approx(
        float(DiceCrossEntropy(0.0, 1.0)(logits, labels))
    )


@pytest.mark.parametrize("gamma", [0.4, 4.0])
def test_gradients_are_right(gamma: float) -> None:
    logits, labels = made(3, 3)
    logits = logits[:1, :, :2, :3].clone().requires_grad_()
    mask = torch.tensor([[[True, True, False], [True, True, True]]])
    loss = FocalDice(0.6, gamma, class_weights=[0.5, 1.0, 1.5])
    assert torch.autograd.gradcheck(lambda x: loss(x, labels[:1, :2, :3], mask), (logits,))


@pytest.mark.parametrize("gamma", [0.4, 4.0])
@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_certainty_right_or_wrong_stays_finite(gamma: float, scale: float) -> None:
    for sign in (1, -1):
        labels = torch.zeros(1, 2, 2, dtype=torch.long)
        logits = torch.zeros(1, 3, 2, 2)
        logits[:, 0] = sign * scale
        logits.requires_grad_()
        loss = FocalDice(0.6, gamma)(logits, labels)
        loss.backward()
        assert loss.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    logits, labels = made(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = FocalDice()(logits.bfloat16(), labels)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(FocalDice()(logits.bfloat16().float(), labels)))


def test_what_is_not_annotated_does_not_count() -> None:
    logits, labels = made()
    kept = torch.zeros_like(labels, dtype=torch.bool)
    kept[:, :, :4] = True
    loss = FocalDice(class_weights=[0.5, 1.0, 1.0, 1.5])
    expected = loss(logits[..., :4], labels[..., :4])
    assert float(loss(logits, labels, kept)) == pytest.approx(float(expected))
    marked = labels.where(kept, 255)
    ignoring = FocalDice(class_weights=[0.5, 1.0, 1.0, 1.5], ignore=255)
    assert float(ignoring(logits, marked)) == pytest.approx(float(expected))
    assert float(FocalDice(1.0)(logits, labels, torch.zeros_like(kept))) == 0


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=6))
def test_weights_have_a_mean_of_one_and_go_with_the_inverse_root(counts: list[int]) -> None:
    weights = inverse_root_weights(counts)
    assert np.mean(weights) == pytest.approx(1)
    ratio = weights[0] / weights[-1]
    assert ratio == pytest.approx((counts[-1] / counts[0]) ** 0.5)


def test_a_class_that_is_nowhere_has_a_finite_weight() -> None:
    assert np.isfinite(inverse_root_weights([10, 0, 5])).all()
