from __future__ import annotations

import pytest
import torch
from torch import nn

from autospine.networks.aspp import ASPP
from autospine.networks.deeplab import DeepLabV3, DeepLabV3Plus
from autospine.networks.resnet import ResNet50
from tests.autospine.networks.test_unetplusplus import shape
from tests.contracts.network import NetworkContract

WITH_TORCHVISIONS_LAYERS = 42_004_074  # deeplabv3_resnet50 with 21 classes, as torchvision documents it
AUXILIARY_HEAD = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21  # which the paper has not
POOLED_NORM = 2 * 256 - 256  # our pooled branch has a bias instead of a norm


class TestDeepLabV3(NetworkContract):
    # Two slices at the deepest stage would meet a fault of oneDNN 3.12: garbage in bf16 gradients of 3 x 3 x 3 kernels.
    sizes = {2: (67, 93), 3: (35, 65, 35)}  # noqa: RUF012
    published_parameters = {2: WITH_TORCHVISIONS_LAYERS - AUXILIARY_HEAD - POOLED_NORM}  # noqa: RUF012

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return DeepLabV3(shape(dimension, in_channels, out_channels, (4,) * 5))

    def build_published(self, dimension: int) -> nn.Module:
        return DeepLabV3(shape(dimension, 3, 21, (64,) * 5))


def test_features_are_strided_by_4_8_16_and_16() -> None:
    two = (2, 2)
    encoder = ResNet50(2, 1, 4, (two, two, two, two), two).eval()
    with torch.no_grad():
        features = encoder(torch.randn(1, 1, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [(16, 16, 24), (32, 8, 12), (64, 4, 6), (64 * 2, 4, 6)]


def test_thick_slices_are_neither_strided_nor_dilated() -> None:
    one, two = (1, 1, 1), (1, 2, 2)
    encoder = ResNet50(3, 1, 2, (two, two, two, two), two).eval()
    with torch.no_grad():
        assert encoder(torch.randn(1, 1, 5, 32, 32))[-1].shape[2:] == (5, 2, 2)
    assert encoder.stages[-1][-1].branch[1][0].dilation == (1, 2, 2)
    assert encoder.stages[0][0].branch[1][0].stride == one


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_pyramids_pooled_branch_sees_the_whole_image(dimension: int) -> None:
    pyramid = ASPP(dimension, 2, 4, rates=(2, 3)).eval()
    image = torch.randn(1, 2, *(9,) * dimension)
    changed = image.clone()
    changed[(0, 0, *(0,) * dimension)] += 100.0
    far = (0, slice(None), *(-1,) * dimension)
    with torch.no_grad():
        assert not torch.allclose(pyramid(image)[far], pyramid(changed)[far])


def test_the_pyramid_has_a_branch_per_rate() -> None:
    pyramid = ASPP(2, 2, 4, rates=(6, 12, 18))
    assert [branch[0].dilation for branch in pyramid.branches] == [(1, 1), (6, 6), (12, 12), (18, 18)]


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
