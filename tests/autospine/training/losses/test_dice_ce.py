from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autospine.training.losses.dice_ce import (
    DiceCrossEntropy,
    deep_supervision_weights,
    downsample_labels,
    masked_smooth_l1,
)

IGNORE = 255


@pytest.fixture(params=[(6, 5), (3, 4, 5)], ids=["2d", "3d"])
def pair(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 4, *request.param), generator=generator)
    labels = torch.randint(0, 4, (2, *request.param), generator=generator).to(torch.uint8)
    return logits, labels


def brute_force_dice(logits: Tensor, labels: Tensor, counts: Tensor, batch: bool, classes: list[int]) -> float:
    """Voxel by voxel, in Python floats."""
    p = logits.double().softmax(1)
    groups = [range(len(labels))] if batch else [[b] for b in range(len(labels))]
    scores = []
    for group in groups:
        for c in classes:
            overlap = total = 0.0
            for b in group:
                for index in counts[b].nonzero().tolist():
                    inside = float(labels[(b, *index)] == c)
                    probability = float(p[(b, c, *index)])
                    overlap += inside * probability
                    total += inside + probability
            scores.append((2 * overlap + 1e-5) / (total + 1e-5))
    return 1 - sum(scores) / len(scores)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("ignore", [None, IGNORE])
def test_soft_dice_is_its_formula(pair: tuple[Tensor, Tensor], batch: bool, ignore: int | None) -> None:
    logits, labels = pair
    if ignore is not None:
        labels[:, :2] = ignore
    loss = DiceCrossEntropy(1.0, 0.0, batch_dice=batch, classes=(1, 3), ignore=ignore)(logits, labels)
    expected = brute_force_dice(logits, labels, labels != IGNORE, batch, [1, 3])
    assert float(loss) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 2.0, 3.0)])
@pytest.mark.parametrize("ignore", [None, IGNORE])
def test_cross_entropy_is_pytorchs(
    pair: tuple[Tensor, Tensor], weights: tuple[float, ...] | None, ignore: int | None
) -> None:
    logits, labels = pair
    if ignore is not None:
        labels[:, 1] = ignore
    loss = DiceCrossEntropy(0.0, 1.0, class_weights=weights, ignore=ignore)(logits, labels)
    tensor = None if weights is None else torch.tensor(weights)
    expected = nn.functional.cross_entropy(logits, labels.long(), tensor, ignore_index=IGNORE)
    torch.testing.assert_close(loss, expected)


def test_the_sum_is_the_sum_of_its_parts(pair: tuple[Tensor, Tensor]) -> None:
    both = DiceCrossEntropy(0.4, 0.6)(*pair)
    torch.testing.assert_close(both, 0.4 * DiceCrossEntropy(1.0, 0.0)(*pair) + 0.6 * DiceCrossEntropy(0.0, 1.0)(*pair))


@pytest.mark.parametrize("batch", [True, False])
def test_gradient_is_the_numerical_one(batch: bool) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[0, 1, 2], [1, IGNORE, 2]], [[0, 0, 1], [2, 2, IGNORE]]])
    loss = DiceCrossEntropy(batch_dice=batch, class_weights=(1, 2, 3), ignore=IGNORE)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)


def test_what_is_ignored_changes_nothing(pair: tuple[Tensor, Tensor]) -> None:
    logits, labels = pair
    labels[:, 0] = IGNORE
    other = logits.clone()
    other[:, :, 0] = 50 * torch.randn_like(other[:, :, 0])
    other.requires_grad_()
    loss = DiceCrossEntropy(ignore=IGNORE)
    result = loss(other, labels)
    torch.testing.assert_close(result, loss(logits, labels))
    result.backward()
    assert other.grad is not None
    assert not other.grad[:, :, 0].any()
    assert other.grad[:, :, 1].any()


def test_mask_and_ignored_label_say_the_same(pair: tuple[Tensor, Tensor]) -> None:
    logits, labels = pair
    mask = torch.ones_like(labels, dtype=torch.bool)
    mask[:, 0] = False
    torch.testing.assert_close(
        DiceCrossEntropy()(logits, labels, mask),
        DiceCrossEntropy(ignore=IGNORE)(logits, labels.where(mask, IGNORE)),
    )


def test_a_perfect_prediction_costs_nothing(pair: tuple[Tensor, Tensor]) -> None:
    _, labels = pair
    logits = 40 * nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).float()
    assert float(DiceCrossEntropy()(logits, labels)) == pytest.approx(0, abs=1e-5)


def test_bf16_logits_are_computed_in_float32(pair: tuple[Tensor, Tensor]) -> None:
    logits, labels = pair
    half = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = DiceCrossEntropy(ignore=IGNORE)(half, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, DiceCrossEntropy(ignore=IGNORE)(half.float(), labels))


def test_nothing_to_count_costs_nothing(pair: tuple[Tensor, Tensor]) -> None:
    logits, labels = pair
    logits.requires_grad_()
    loss = DiceCrossEntropy(ignore=IGNORE)(logits, torch.full_like(labels, IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_absent_class_costs_one_unless_left_out() -> None:
    logits = torch.zeros(1, 3, 4, 4)
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, 2:] = 1
    present = DiceCrossEntropy(1.0, 0.0, classes=(1,))(logits, labels)
    both = DiceCrossEntropy(1.0, 0.0)(logits, labels)
    assert float(2 * both - present) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_smooth_l1_is_its_formula_inside_the_mask(beta: float) -> None:
    torch.manual_seed(0)
    prediction, target = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    mask = torch.rand(2, 4, 5) > 0.5
    d = (prediction - target).movedim(1, -1)[mask].abs()
    expected = torch.where(d < beta, d * d / (2 * beta), d - beta / 2).mean()
    target.movedim(1, -1)[~mask] = float("nan")
    prediction.requires_grad_()
    loss = masked_smooth_l1(prediction, target, mask, beta)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_smooth_l1_of_an_empty_mask_is_zero() -> None:
    field = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = masked_smooth_l1(field, torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0


def test_weights_halve_and_add_up_to_one() -> None:
    assert deep_supervision_weights(1) == (1.0,)
    assert deep_supervision_weights(3) == pytest.approx((4 / 7, 2 / 7, 1 / 7))


def test_coarse_labels_come_from_the_middle_of_their_block() -> None:
    labels = torch.arange(8)[None, :, None].expand(1, 8, 2)
    assert downsample_labels(labels, (4, 2))[0, :, 0].tolist() == [1, 3, 5, 7]
    assert downsample_labels(labels, (8, 2)) is labels
    assert downsample_labels(labels[:, :5], (3, 1)).shape == (1, 3, 1)
