from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from autospine.networks.spine_gan import Discriminator, SpineGenerator, Sweep
from tests.contracts.network import NetworkContract


class TestSpineGenerator(NetworkContract):
    dimensions = (2,)

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return SpineGenerator(in_channels, out_channels, (4, 8, 8))


def test_the_memory_reaches_every_position() -> None:
    """Without it the receptive field ends; with it the opposite corner knows of a change."""
    columns, rows = Sweep(4), Sweep(4)
    features = torch.randn(1, 4, 9, 11)
    changed = features.clone()
    changed[0, :, 0, 0] += 3.0

    def seen(x: torch.Tensor) -> torch.Tensor:
        return rows(columns(x.transpose(2, 3)).transpose(2, 3))

    with torch.no_grad():
        assert not torch.equal(seen(features)[0, :, -1, -1], seen(changed)[0, :, -1, -1])


def test_a_sweep_stays_in_its_row() -> None:
    sweep, features = Sweep(4), torch.randn(1, 4, 3, 5)
    changed = features.clone()
    changed[0, :, 1] += 1.0
    with torch.no_grad():
        same = (sweep(features) == sweep(changed)).all(dim=1)[0]  # (rows, columns)
    assert same.all(dim=1).tolist() == [True, False, True]


@pytest.mark.parametrize("size", [(8, 8), (37, 45)])
def test_the_discriminator_gives_a_number_per_mask(size: tuple[int, int]) -> None:
    discriminator = Discriminator(4, width=4)
    masks = torch.randn(3, 4, *size).softmax(1).requires_grad_()
    found = discriminator(masks)
    assert found.shape == (3,)
    found.sum().backward()
    assert masks.grad is not None
    assert masks.grad.isfinite().all()


def test_the_discriminator_learns_to_tell_noise_from_masks() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(2, width=4)
    optimiser = torch.optim.Adam(discriminator.parameters(), 1e-2)
    annotated = torch.zeros(4, 2, 16, 16)
    annotated[:, 0], annotated[:, 1, 4:12, 4:12] = 1.0, 1.0
    annotated[:, 0, 4:12, 4:12] = 0.0
    noise = torch.rand(4, 1, 16, 16)
    noise = torch.cat((noise, 1 - noise), 1)
    for _ in range(15):
        loss = (softplus(-discriminator(annotated)) + softplus(discriminator(noise))).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert discriminator(annotated).min() > discriminator(noise).max()
