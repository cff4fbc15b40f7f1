from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospine.networks.segnet import SegNet, unpool
from tests.contracts.network import NetworkContract

VGG16_CONVOLUTIONS = 138_357_544 - (512 * 49 * 4096 + 4096) - (4096 * 4096 + 4096) - (4096 * 1000 + 1000)
VGG16_CHANNELS = 2 * (64 + 128) + 3 * (256 + 512 + 512)  # whose biases are our norms' shifts


class TestSegNet(NetworkContract):
    dimensions = (2,)

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return SegNet(in_channels, out_channels, (4, 8, 8, 8, 8))


def test_it_has_the_published_number_of_weights() -> None:
    """29.5 M with 12 classes (Badrinarayanan et al. 2017, tables of sizes); its encoder is VGG-16's."""
    network = SegNet(3, 12)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == pytest.approx(29.45, abs=0.06)
    encoder = sum(p.numel() for p in network.encoder.parameters())
    assert encoder == VGG16_CONVOLUTIONS + VGG16_CHANNELS


def test_it_has_13_convolutions_down_and_13_up() -> None:
    network = SegNet(1, 4, (2, 2, 2, 2, 2))
    down = [m for m in network.encoder.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in (*network.decoder.modules(), network.head) if isinstance(m, nn.Conv2d)]
    assert (len(down), len(up)) == (13, 13)


def test_values_go_back_to_where_their_maximum_was() -> None:
    maxima, indices = F.max_pool2d(torch.randn(2, 3, 8, 12), 2, return_indices=True)
    assert torch.equal(unpool(maxima, indices), F.max_unpool2d(maxima, indices, 2))
