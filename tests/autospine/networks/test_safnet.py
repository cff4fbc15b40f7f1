from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autospine.networks.safnet import FourBranches, ResidualBlock, SAFNet, SAFNetComponents
from tests.contracts.network import NetworkContract


class TestSAFNet(NetworkContract):
    dimensions = (3,)
    sizes = {3: (5, 45, 35)}  # noqa: RUF012

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return SAFNet(in_channels, out_channels, width=8)


class TestSAFNetBase(TestSAFNet):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return SAFNet(in_channels, out_channels, 8, SAFNetComponents(False, False, False))


@pytest.mark.slow
def test_features_have_the_printed_shapes() -> None:
    network = SAFNet(1, 19).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            shapes.setdefault(name, tuple(output.shape[1:]))

        network.get_submodule(name).register_forward_hook(hook)

    for name in ("low", "mid", "high", "pyramid", "attention", "fuse_low", "fuse_mid"):
        note(name)
    with torch.inference_mode():
        answer = network(torch.zeros(1, 1, 18, 256, 128))
    assert answer.shape == (1, 19, 18, 256, 128)
    assert shapes["low"] == shapes["fuse_low"] == (128, 18, 64, 32)
    assert shapes["mid"] == shapes["fuse_mid"] == (128, 18, 32, 16)
    assert shapes["high"] == shapes["pyramid"] == shapes["attention"] == (128, 18, 16, 8)


def test_every_component_of_the_ablation_adds_weights() -> None:
    def count(components: SAFNetComponents) -> int:
        return sum(p.numel() for p in SAFNet(1, 3, 8, components).parameters())

    base = count(SAFNetComponents(False, False, False))
    single = [count(SAFNetComponents(*(k == component for k in range(3)))) for component in range(3)]
    assert all(each > base for each in single)
    assert count(SAFNetComponents()) == base + sum(each - base for each in single)


def test_the_whole_image_weighs_the_channels() -> None:
    """Equation 8: the response is one number per channel."""
    network = SAFNet(1, 2, 8, SAFNetComponents(False, False, False))
    low, mid = torch.rand(1, 8, 2, 8, 4), torch.rand(1, 8, 2, 4, 2)
    high = torch.zeros(1, 8, 2, 2, 1)
    high[0, 0] = 100.0
    spliced = network._splice(low, mid, high)
    assert spliced.shape == (1, 24, 2, 8, 4)
    finer = spliced[:, 16:]
    torch.testing.assert_close(spliced[:, 0], low[:, 0] * finer[:, 0])
    torch.testing.assert_close(spliced[:, 1], 0.5 * low[:, 1] * finer[:, 1])


def test_slices_are_never_strided() -> None:
    block = ResidualBlock(2, 4, (1, 2, 2))
    assert block(torch.randn(2, 2, 5, 8, 6)).shape == (2, 4, 5, 4, 3)


def test_four_branches_see_near_and_far() -> None:
    block = FourBranches(8).eval()
    assert [far[0].dilation for far in block.far] == [(1, 2, 2), (1, 4, 4), (1, 8, 8), (1, 16, 16)]
    assert all(near[0].dilation == (1, 1, 1) for near in block.near)
    assert block(torch.randn(1, 8, 2, 20, 20)).shape == (1, 8, 2, 20, 20)
