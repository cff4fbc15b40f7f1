from __future__ import annotations

import torch
from torch import nn

from autospine.networks.deeplabv3plus import DeepLabV3Plus
from tests.autospine.networks.test_unetplusplus import shape
from tests.contracts.network import NetworkContract


class TestDeepLabV3Plus(NetworkContract):
    # Two slices at the deepest stage would meet a fault of oneDNN 3.12: garbage in bf16 gradients of 3 x 3 x 3 kernels.
    sizes = {2: (67, 93), 3: (35, 65, 35)}  # noqa: RUF012

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        network = DeepLabV3Plus(shape(dimension, in_channels, out_channels, (4,) * 5))
        with torch.no_grad():
            network.decoder[-1].weight.mul_(0.01)  # untrained norms let logits grow to hundreds
        return network


def test_the_decoder_joins_48_fine_channels_and_256_coarse_ones() -> None:
    network = DeepLabV3Plus(shape(2, 1, 4, (64,) * 5)).eval()
    assert network.decoder[0][0].in_channels == 48 + 256
    sizes = []
    network.decoder.register_forward_hook(lambda module, given, made: sizes.append(made.shape[2:]))
    with torch.no_grad():
        network(torch.randn(1, 1, 64, 96))
    assert sizes == [(16, 24)]  # stride 4


def test_a_fine_detail_passes_by_the_pyramid() -> None:
    network = DeepLabV3Plus(shape(2, 1, 2, (8,) * 5)).eval()
    image = torch.randn(1, 1, 64, 64)
    nn.init.zeros_(network.aspp.fuse[0][1].weight)  # the pyramid says nothing
    with torch.no_grad():
        assert network(image)[0, 0].std() > 1e-3
