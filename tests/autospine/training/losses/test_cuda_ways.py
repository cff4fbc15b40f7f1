"""What CUDA computes another way than a processor, run on the processor: the same values and slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from autospine.training.losses import dice_ce, instance, multitask

LABELS = 6


@pytest.fixture
def drawn() -> tuple[Tensor, Tensor]:
    """Values with a slope, and labels."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, LABELS, 20, 13, dtype=torch.float64, generator=generator).requires_grad_()
    return values, torch.randint(0, LABELS, (3, 20, 13), generator=generator)


def same(values: Tensor, one: Callable[[], Tensor], other: Callable[[], Tensor]) -> None:
    results = []
    for compute in (one, other):
        values.grad = None
        result = compute()
        result.backward()
        results.append((result.detach(), values.grad.clone()))
    torch.testing.assert_close(*results)


def test_class_sums(drawn: tuple[Tensor, Tensor]) -> None:
    values, labels = drawn
    weights = torch.arange(3 * LABELS, dtype=torch.float64).view(3, LABELS)

    def weighted(sums: Callable[..., tuple[Tensor, ...]]) -> Tensor:
        first, second = sums((values[:, 0], values[:, 1] ** 2), labels, LABELS)
        return (first * weights + second * weights**2).sum()

    same(values, lambda: weighted(dice_ce.class_sums), lambda: weighted(dice_ce._sums_by_comparison))


@pytest.mark.parametrize("share", [0.3, 0.0])
def test_smooth_l1_where_targets_outside_are_unknown(drawn: tuple[Tensor, Tensor], share: float) -> None:
    values, labels = drawn
    mask = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < share
    target = torch.where(mask[:, None], 0.3, torch.nan).expand_as(values).double()
    where = mask[:, None].expand_as(values)
    same(
        values,
        lambda: dice_ce.masked_smooth_l1(values, target, mask, 0.1) * where.sum().clamp(min=1),
        lambda: dice_ce._masked_smooth_l1_sum(values, target, where, 0.1),
    )


@pytest.mark.parametrize("share", [0.3, 0.0])
def test_entropy_of_levels(drawn: tuple[Tensor, Tensor], share: float) -> None:
    values, labels = drawn
    inside = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < share
    level = labels.where(inside, -1)
    same(
        values,
        lambda: multitask._level_entropy(values, level, inside).double(),
        lambda: multitask._level_entropy_of_all(values, level, inside).double(),
    )


@pytest.mark.parametrize("shape", [(40, 31), (9, 12, 14), (1, 7)])
def test_nearest_labels(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    """No label is nearer than the one that is taken; where it alone is nearest, a processor takes it too."""
    monkeypatch.setattr(instance, "AT_ONCE", 2000)  # several parts
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(1, LABELS, shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.9)
    image.view(-1)[0] = 1
    found = instance._nearest_label(image)
    away = np.stack([distance_transform_edt((image != k).numpy()) for k in range(1, LABELS)])
    away[[not (image == k).any() for k in range(1, LABELS)]] = np.inf
    taken = np.take_along_axis(away, found.numpy()[None] - 1, 0)[0]
    np.testing.assert_array_equal(taken, away.min(0))
    alone = torch.from_numpy((away == away.min(0)).sum(0) == 1)
    assert torch.equal(found[alone], instance.neighbourhoods(image[None])[0][alone])


def test_an_image_without_labels_has_no_nearest() -> None:
    assert not instance._nearest_label(torch.zeros(4, 5, dtype=torch.int64)).any()
