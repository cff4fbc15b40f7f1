from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from autospine.networks.cfnet import CFNet, ChannelNorm, FocalBlock, FusionStage
from autospine.networks.shape import NetworkShape
from tests.contracts.network import NetworkContract


def shape_of(dimension: int, in_channels: int, out_channels: int) -> NetworkShape:
    one, two = (1,) * dimension, (1, 2, 2)[-dimension:]
    return NetworkShape(
        dimension, in_channels, out_channels, (4, 4, 4, 4, 8, 8), ((3,) * dimension,) * 6, (one, *(two,) * 5)
    )


class TestCFNet(NetworkContract):
    sizes = {2: (37, 45), 3: (5, 35, 29)}  # noqa: RUF012

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return CFNet(shape_of(dimension, in_channels, out_channels))


def test_each_stage_begins_with_what_the_last_one_fused() -> None:
    """The finest scale of a stage is its own plus the two coarser ones, and the next stage's input."""
    network = CFNet(shape_of(3, 1, 2)).eval()
    seen: list[tuple[Tensor, list[Tensor]]] = []
    for stage in network.stages:
        stage.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], list(output))))
    with torch.no_grad():
        network(torch.randn(1, 1, 5, 64, 64))
    assert len(seen) == 3
    for (_, before), (entered, _) in pairwise(seen):
        assert torch.equal(before[0], entered)
    assert [tuple(scale.shape[1:]) for scale in seen[-1][1]] == [(4, 5, 8, 8), (8, 5, 4, 4), (8, 5, 2, 2)]


def test_the_transition_adds_the_coarser_scales() -> None:
    torch.manual_seed(0)
    stage = FusionStage(2, (4, 8, 8), ((2, 2), (2, 2)))
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        for narrow in stage.transition:
            narrow.weight.zero_()
            narrow.bias.fill_(0.5)
        fused = stage(x)[0]
        torch.testing.assert_close(fused, stage.groups[0](x) + 1.0)


@pytest.mark.parametrize(("dilation", "reach"), [(None, 3), ((3, 3), 12)])
def test_a_focal_block_sees_far(dilation: tuple[int, int] | None, reach: int) -> None:
    """7 wide: 3 either way; dilated by 3 on top: 9 more."""
    torch.manual_seed(0)
    block = FocalBlock(2, 4, dilation)
    image = torch.zeros(1, 4, 41, 41, requires_grad=True)
    block(image)[0, :, 20, 20].sum().backward()
    assert image.grad is not None
    rows = image.grad[0].abs().sum(dim=(0, 2)).nonzero().ravel()
    assert (rows.min().item(), rows.max().item()) == (20 - reach, 20 + reach)


def test_the_two_skips_of_a_focal_block() -> None:
    """With silent depth-wise convolutions a focal block mixes what came in, a plain block nothing."""
    torch.manual_seed(0)
    block, x = FocalBlock(2, 4, (3, 3)), torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        for each in block.depthwise:
            each.weight.zero_()
            each.bias.zero_()
        torch.testing.assert_close(block(x), x + block.mix(x))


def test_the_norm_is_of_each_voxels_channels() -> None:
    x = 5 * torch.randn(2, 16, 3, 4) + 2
    y = ChannelNorm(16)(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 3, 4), atol=1e-3, rtol=0)
