from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from autospine.networks.shape import NetworkShape
from autospine.networks.unetplusplus import UNetPlusPlus
from tests.contracts.network import NetworkContract

PAPER_WIDTHS = (32, 64, 128, 256, 512)


def shape(dimension: int, in_channels: int, out_channels: int, widths: tuple[int, ...]) -> NetworkShape:
    stages = len(widths)
    return NetworkShape(
        dimension,
        in_channels,
        out_channels,
        widths,
        kernels=((3,) * dimension,) * stages,
        strides=((1,) * dimension, *((2,) * dimension,) * (stages - 1)),
    )


class TestUNetPlusPlus(NetworkContract):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return UNetPlusPlus(shape(dimension, in_channels, out_channels, (4, 8, 8)))


class TestUNetPlusPlusWithoutDeepSupervision(NetworkContract):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        plain = replace(shape(dimension, in_channels, out_channels, (4, 8, 8)), deep_supervision=False)
        return UNetPlusPlus(plain)


def test_it_has_the_papers_nine_million_weights() -> None:
    """9.04 M (Zhou et al. 2018, table 3), four answers included and batch normalisation left out."""
    network = UNetPlusPlus(shape(2, 3, 1, PAPER_WIDTHS))
    weights = sum(p.numel() for p in network.parameters())
    norms = sum(p.numel() for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    biases = norms / 2  # of the convolutions, which the norms' shifts stand for
    assert round((weights - norms + biases) / 1e6, 2) == 9.04


def test_every_node_of_the_triangle_is_there() -> None:
    network = UNetPlusPlus(shape(2, 1, 2, (2, 2, 2, 2)))
    assert sorted(network.nodes) == [f"{i}_{j}" for i in range(4) for j in range(4 - i)]


def test_deep_supervision_gives_one_full_size_answer_per_node_of_the_top_row() -> None:
    outputs = UNetPlusPlus(shape(2, 1, 2, (2, 2, 2, 2))).train()(torch.randn(2, 1, 16, 24))
    assert [tuple(output.shape) for output in outputs] == [(2, 2, 16, 24)] * 3
