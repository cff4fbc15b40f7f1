from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autospine.networks.clustered_attention import AttentionBlock
from autospine.networks.shape import NetworkShape
from autospine.networks.wgan_resunet import Critic, GeneratorComponents, ResidualAttentionUNet
from tests.contracts.network import NetworkContract

WIDTHS = (4, 4, 8, 8, 8)
SMALL = GeneratorComponents(clusters=4, heads=2)


def shape(in_channels: int = 1, out_channels: int = 4) -> NetworkShape:
    strides = ((1, 1), *((2, 2),) * 4)
    return NetworkShape(2, in_channels, out_channels, WIDTHS, ((3, 3),) * 5, strides, deep_supervision=False)


class TestGenerator(NetworkContract):
    dimensions = (2,)

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return ResidualAttentionUNet(shape(in_channels, out_channels), SMALL)


class TestGeneratorWithFullAttention(TestGenerator):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return ResidualAttentionUNet(shape(in_channels, out_channels), replace(SMALL, attention="full"))


class TestPlainUNetOfTheAblation(TestGenerator):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        plain = GeneratorComponents(residual=False, dilated=False, attention="none")
        return ResidualAttentionUNet(shape(in_channels, out_channels), plain)


def test_levels_are_dilated_as_the_paper_says() -> None:
    network = ResidualAttentionUNet(shape(), SMALL)
    assert [level.branch[0].dilation[0] for level in network.encoder][:4] == [1, 2, 4, 8]
    plain = ResidualAttentionUNet(shape(), replace(SMALL, dilated=False))
    assert {level.branch[0].dilation for level in plain.encoder} == {(1, 1)}


def test_the_three_deeper_levels_attend() -> None:
    network = ResidualAttentionUNet(shape(), SMALL)
    assert [isinstance(block, AttentionBlock) for block in network.attention] == [False] * 2 + [True] * 3


def test_clustered_and_full_attention_have_the_same_weights() -> None:
    """The ablation compares the computation, not the number of parameters."""
    clustered = ResidualAttentionUNet(shape(), SMALL)
    full = ResidualAttentionUNet(shape(), replace(SMALL, attention="full"))
    full.load_state_dict(clustered.state_dict())


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (512, 512)])
def test_the_critic_gives_one_score_per_mask(size: tuple[int, int]) -> None:
    assert Critic(4, width=4)(torch.rand(2, 4, *size)).shape == (2,)


def test_the_critic_has_six_convolutions_of_stride_two() -> None:
    convolutions = [layer for layer in Critic(4).layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 6
    assert all(each.kernel_size == (3, 3) and each.stride == (2, 2) for each in convolutions)


def test_a_score_of_the_critic_depends_on_its_own_mask_only() -> None:
    torch.manual_seed(0)
    critic, masks = Critic(3, width=4), torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(critic(masks)[:1], critic(masks[:1]))
