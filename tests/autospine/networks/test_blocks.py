from __future__ import annotations

import torch
from torch import nn

from autospine.networks.blocks import RepeatChannels
from autospine.networks.unetplusplus import UNetPlusPlus
from tests.autospine.networks.test_unetplusplus import shape
from tests.contracts.network import NetworkContract


class TestRepeatChannels(NetworkContract):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return RepeatChannels(UNetPlusPlus(shape(dimension, 3 * in_channels, out_channels, (4, 8))))


def test_the_network_sees_three_equal_channels() -> None:
    seen = RepeatChannels(nn.Identity())(torch.arange(8.0).view(1, 2, 2, 2))
    assert seen.shape == (1, 6, 2, 2)
    assert torch.equal(seen[:, 0], seen[:, 2])
    assert torch.equal(seen[:, 3], seen[:, 5])
    assert not torch.equal(seen[:, 2], seen[:, 3])
