from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from autospine.training.losses.instance import InstanceCrossEntropy, instance_dice_loss, neighbourhoods


def certain(labels: torch.Tensor, channels: int) -> torch.Tensor:
    """Logits that leave no doubt: (B, C, *spatial)."""
    return 50.0 * F.one_hot(labels, channels).movedim(-1, 1).float()


def two_squares() -> torch.Tensor:
    """A large and a small instance: (1, 24, 24)."""
    labels = torch.zeros(1, 24, 24, dtype=torch.long)
    labels[0, 2:14, 2:14] = 1
    labels[0, 18:21, 18:21] = 2
    return labels


def test_a_perfect_answer_costs_nothing() -> None:
    labels = two_squares()
    assert InstanceCrossEntropy()(certain(labels, 3), labels) < 1e-6


def test_losing_the_small_instance_costs_as_much_as_losing_the_large_one() -> None:
    labels = two_squares()
    costs = []
    for lost in (1, 2):
        log_probabilities = certain(labels.where(labels != lost, 0), 3).log_softmax(1)
        costs.append(float(instance_dice_loss(log_probabilities, labels, torch.ones(1, 24, 24))))
    assert costs == pytest.approx([0.5, 0.5], abs=1e-4)


def test_an_error_beside_one_instance_does_not_touch_the_other() -> None:
    labels = two_squares()
    answer = labels.clone()
    answer[0, 2:14, 0] = 2  # class 2, but in the neighbourhood of instance 1
    log_probabilities = certain(answer, 3).log_softmax(1)
    assert float(instance_dice_loss(log_probabilities, labels, torch.ones(1, 24, 24))) < 1e-6
    assert float(InstanceCrossEntropy()(certain(answer, 3), labels)) > 0.1  # cross-entropy sees it


def test_it_is_the_mean_of_the_instances_dice_in_their_neighbourhoods() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 9, 11), generator=generator)
    logits = torch.randn(2, 4, 9, 11, generator=generator)
    probabilities, nearest = logits.softmax(1), neighbourhoods(labels)
    expected = []
    for sample in range(2):
        for k in range(1, 4):
            near, mine = nearest[sample] == k, labels[sample] == k
            both = 2 * probabilities[sample, k][mine].sum()
            expected.append(1 - both / (probabilities[sample, k][near].sum() + mine.sum()))
    found = instance_dice_loss(logits.log_softmax(1), labels, torch.ones(2, 9, 11))
    torch.testing.assert_close(found, torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)
    entropy = F.cross_entropy(logits, labels)
    torch.testing.assert_close(InstanceCrossEntropy(0.6)(logits, labels), 0.6 * entropy + 0.4 * found)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_every_pixel_belongs_to_its_nearest_instance(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, (1, 6, 7)) * (random.random((1, 6, 7)) < 0.3)
    found = neighbourhoods(torch.from_numpy(labels))[0].numpy()
    if not labels.any():
        assert not found.any()
        return
    places = np.argwhere(labels[0] > 0)
    for pixel in np.ndindex(6, 7):
        distance = ((places - pixel) ** 2).sum(1)
        nearest = {labels[0][tuple(p)] for p in places[distance == distance.min()]}
        assert found[pixel] in nearest


def test_what_is_not_annotated_costs_nothing_and_gives_no_gradient() -> None:
    labels = two_squares()
    mask = torch.ones(1, 24, 24, dtype=torch.bool)
    mask[:, 16:] = False
    logits = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = InstanceCrossEntropy()(logits, labels, mask)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 16:].any()
    changed = logits.detach().clone()
    changed[:, :, 16:] += 3.0
    torch.testing.assert_close(InstanceCrossEntropy()(changed, labels, mask), loss.detach())


@pytest.mark.parametrize("nothing", ["no instance", "no pixel counts"])
def test_empty_inputs_are_defined(nothing: str) -> None:
    labels = torch.zeros(2, 5, 5, dtype=torch.long)
    mask = torch.zeros(2, 5, 5, dtype=torch.bool) if nothing == "no pixel counts" else None
    logits = torch.zeros(2, 3, 5, 5, requires_grad=True)
    loss = InstanceCrossEntropy()(logits, labels, mask)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    expected = 0.0 if mask is not None else 0.6 * float(torch.log(torch.tensor(3.0)))
    assert float(loss.detach()) == pytest.approx(expected)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(0, 3, (1, 4, 5), generator=generator)
    logits = torch.randn(1, 3, 4, 5, generator=generator, requires_grad=True)
    loss = InstanceCrossEntropy()
    loss(logits, labels).backward()
    step = 1e-2
    for place in ((0, 0, 1, 2), (0, 2, 3, 4)):
        values = []
        for sign in (1, -1):
            moved = logits.detach().clone()
            moved[place] += sign * step
            values.append(loss(moved, labels))
        assert logits.grad is not None
        torch.testing.assert_close((values[0] - values[1]) / (2 * step), logits.grad[place], rtol=2e-2, atol=1e-5)


def test_alpha_is_a_share() -> None:
    with pytest.raises(ValueError, match="alpha is 2"):
        InstanceCrossEntropy(2)
