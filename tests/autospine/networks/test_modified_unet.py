from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from autospine.networks.modified_unet import ModifiedUNet
from autospine.networks.shape import NetworkShape
from tests.contracts.network import NetworkContract


def shape(in_channels: int, out_channels: int, widths: tuple[int, ...], dimension: int = 2) -> NetworkShape:
    stages, ones = len(widths), (1,) * dimension
    strides = (ones, *((2,) * dimension,) * (stages - 1))
    return NetworkShape(
        dimension, in_channels, out_channels, widths, ((3,) * dimension,) * stages, strides, 2, 2, False
    )


class TestModifiedUNet(NetworkContract):
    dimensions = (2,)

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return ModifiedUNet(shape(in_channels, out_channels, (4, 6, 8)))


def full() -> ModifiedUNet:
    return ModifiedUNet(shape(1, 4, (32, 64, 128, 256, 512)))


def test_parameters_are_those_of_a_u_net_with_one_more_512_channel_layer() -> None:
    """Counted by hand: convolutions of 3 x 3 with their norms, transposed ones of 2 x 2, the head."""
    widths = (32, 64, 128, 256, 512)

    def convolution(a: int, b: int) -> int:
        return 9 * a * b + 2 * b

    contracting = sum(convolution(a, b) + convolution(b, b) for a, b in zip((1, *widths), widths, strict=False))
    up = sum(4 * b * a + a for a, b in pairwise(widths))
    expansive = sum(convolution(2 * a, a) + convolution(a, a) for a in widths[:-1])
    expected = contracting + convolution(512, 512) + up + expansive + 4 * 32 + 4
    assert sum(p.numel() for p in full().parameters()) == expected


def test_the_up_sample_block_is_a_transposed_convolution_and_a_leaky_relu_of_a_tenth() -> None:
    for block in full().up:
        assert [type(layer) for layer in block] == [nn.ConvTranspose2d, nn.LeakyReLU]
        assert block[1].negative_slope == 0.1


def test_weights_are_glorot_uniform() -> None:
    torch.manual_seed(0)
    for layer in full().modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            area = math.prod(layer.kernel_size)
            limit = math.sqrt(6 / (area * (layer.in_channels + layer.out_channels)))
            assert layer.weight.abs().max() <= limit
            if layer.weight.numel() > 1000:
                assert layer.weight.abs().max() > 0.99 * limit
                assert float(layer.weight.detach().std()) == pytest.approx(limit / math.sqrt(3), rel=0.05)


def test_dropout_is_in_the_contracting_path_alone_and_only_while_training() -> None:
    network = ModifiedUNet(shape(1, 2, (4, 8)), dropout=0.3)
    drops = {name for name, module in network.named_modules() if isinstance(module, nn.Dropout)}
    assert {name.partition(".")[0] for name in drops} == {"encoder"}
    assert len(drops) == 2
    assert all(module.p == 0.3 for module in network.modules() if isinstance(module, nn.Dropout))
    image = torch.randn(1, 1, 16, 16)
    network.train()
    assert not torch.equal(network(image), network(image))


def test_it_pools_as_its_shape_says() -> None:
    network = ModifiedUNet(
        NetworkShape(2, 1, 2, (4, 6, 8), ((3, 3), (3, 1), (3, 3)), ((1, 1), (2, 1), (3, 2)), 2, 2, False)
    )
    assert network.scale_factor == (6, 2)
    assert network.eval()(torch.randn(1, 1, 13, 7)).shape == (1, 2, 13, 7)


def test_volumes_are_refused() -> None:
    with pytest.raises(ValueError, match="dimension is 3"):
        ModifiedUNet(shape(1, 2, (4, 8), dimension=3))
