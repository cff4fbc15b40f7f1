from __future__ import annotations

import pytest
import torch
from torch import nn

from autospine.core.serial import from_plain, to_plain
from autospine.networks.blocks import InstanceNorm
from autospine.networks.unet import NetworkShape, UNet
from tests.contracts.network import NetworkContract


def shape(dimension: int, in_channels: int = 1, out_channels: int = 3, **changes: object) -> NetworkShape:
    kernels = {2: ((3, 3), (3, 3), (3, 3)), 3: ((1, 3, 3), (3, 3, 3), (3, 3, 3))}
    strides = {2: ((1, 1), (2, 2), (2, 2)), 3: ((1, 1, 1), (1, 2, 2), (2, 2, 2))}
    settings = {"widths": (4, 6, 8), "kernels": kernels[dimension], "strides": strides[dimension], **changes}
    return NetworkShape(dimension, in_channels, out_channels, **settings)


class TestUNet(NetworkContract):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return UNet(shape(dimension, in_channels, out_channels))


def test_deep_supervision_gives_an_output_per_decoder_stage() -> None:
    outputs = UNet(shape(3)).train()(torch.zeros(1, 1, 5, 33, 30))
    assert [tuple(output.shape[2:]) for output in outputs] == [(5, 33, 30), (5, 17, 15)]


def test_without_deep_supervision_training_gives_a_tensor() -> None:
    assert UNet(shape(2, deep_supervision=False)).train()(torch.zeros(1, 1, 20, 20)).shape == (1, 3, 20, 20)


def test_scale_factor_is_the_product_of_the_strides() -> None:
    assert UNet(shape(2)).scale_factor == (4, 4)
    assert UNet(shape(3)).scale_factor == (2, 4, 4)


def test_padding_inside_is_what_padding_outside_would_be() -> None:
    network = UNet(shape(2)).eval()
    image = torch.randn(1, 1, 30, 29)
    padded = nn.functional.pad(image, (0, 3, 0, 2), mode="replicate")
    assert torch.equal(network(image), network(padded)[..., :30, :29])


@pytest.mark.parametrize("blocks", [1, 3])
def test_parameter_count_of_a_plain_unet(blocks: int) -> None:
    network = UNet(shape(2, blocks=blocks))
    encoder = [(1, 4), (4, 6), (6, 8)]
    convolutions = sum(a * b * 9 + (blocks - 1) * b * b * 9 + blocks * 2 * b for a, b in encoder)
    decoder = (6 * 4) + (8 * 6) + (8 * 4 * 9 + 8) + (12 * 6 * 9 + 12)
    heads = (4 * 3 + 3) + (6 * 3 + 3)
    assert sum(p.numel() for p in network.parameters()) == convolutions + decoder + heads


def test_activations_keep_their_scale_through_a_fresh_network() -> None:
    output = UNet(shape(2, widths=(16, 32, 64))).eval()(torch.randn(2, 1, 64, 64))
    assert 0.1 < output.std() < 10


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norm_is_pytorchs_instance_norm(layout: torch.memory_format) -> None:
    ours, theirs = InstanceNorm(5), nn.InstanceNorm2d(5, affine=True)
    for norm in (ours, theirs):
        nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 5, 8, 9).to(memory_format=layout)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_single_voxel_becomes_the_shift() -> None:
    assert InstanceNorm(3).train()(torch.randn(1, 3, 1, 1)).abs().max() < 1e-3


def test_shape_travels_through_plain_values() -> None:
    assert from_plain(NetworkShape, to_plain(shape(3)), "plans.json") == shape(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (4, 6)}, "one entry per stage"),
        ({"strides": ((2, 2), (2, 2), (2, 2))}, "first stage"),
        ({"kernels": ((2, 2), (3, 3), (3, 3))}, "odd"),
        ({"kernels": ((3, 3, 3),) * 3}, "2 axes"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape(2, **changes)
