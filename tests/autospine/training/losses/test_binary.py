from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from autospine.training.losses.binary import BinaryCrossEntropy
from autospine.training.losses.dice_ce import DiceCrossEntropy


def drawn(classes: int, scale: float = 3.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, classes, 3, 4, 5, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (2, 3, 4, 5), generator=generator)


@given(st.integers(2, 20), st.floats(0, 8), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_it_is_the_papers_equation(classes: int, scale: float, seed: int) -> None:
    """As PyTorch's binary cross-entropy on the soft-max writes it."""
    logits, labels = drawn(classes, scale, seed)
    target = F.one_hot(labels, classes).movedim(-1, 1).double()
    expected = F.binary_cross_entropy(logits.softmax(1), target)
    torch.testing.assert_close(BinaryCrossEntropy()(logits, labels), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_with_two_classes_it_is_the_cross_entropy(scale: float) -> None:
    """Also where the soft-max is 1 to the last digit."""
    logits, labels = drawn(2, scale)
    logits = logits.float()
    torch.testing.assert_close(BinaryCrossEntropy()(logits, labels), DiceCrossEntropy(0.0, 1.0)(logits, labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_sure_and_wrong_network_still_learns(dtype: torch.dtype) -> None:
    logits = torch.full((1, 4, 1, 1), -200.0, dtype=dtype)
    logits[0, 2] = 200.0
    logits.requires_grad_()
    loss = BinaryCrossEntropy()(logits, torch.zeros(1, 1, 1, dtype=torch.uint8))
    loss.backward()
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx((400 + 400 - torch.tensor(3.0).log().item()) / 4, rel=1e-3)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 2] > 0 > logits.grad[0, 0]


def test_gradients_are_right() -> None:
    logits, labels = drawn(4)
    mask = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    assert torch.autograd.gradcheck(
        lambda z: BinaryCrossEntropy()(z, labels[:1, :2, :2, :2], mask[:1, :2, :2, :2]),
        logits[:1, :, :2, :2, :2].requires_grad_(),
    )


def test_unlabelled_voxels_do_not_count() -> None:
    logits, labels = drawn(5)
    mask = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    expected = BinaryCrossEntropy()(logits.movedim(1, -1)[mask], labels[mask])
    torch.testing.assert_close(BinaryCrossEntropy()(logits, labels, mask), expected)
    marked = labels.where(mask, 255)
    torch.testing.assert_close(BinaryCrossEntropy(ignore=255)(logits, marked), expected)


def test_nothing_annotated_is_nothing_lost() -> None:
    logits, labels = drawn(3)
    logits.requires_grad_()
    loss = BinaryCrossEntropy()(logits, labels, torch.zeros_like(labels, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()
