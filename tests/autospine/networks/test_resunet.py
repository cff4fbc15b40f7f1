from __future__ import annotations

import torch
from torch import nn

from autospine.networks.resunet import ResidualUnit, ResUNet
from tests.autospine.networks.test_unetplusplus import shape
from tests.contracts.network import NetworkContract


class TestResUNet(NetworkContract):
    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return ResUNet(shape(dimension, in_channels, out_channels, (4, 8, 8)))


def test_it_has_the_papers_weights() -> None:
    """7.8 M (Zhang, Liu and Wang 2018), the projections of the shortcuts left out."""
    network = ResUNet(shape(2, 3, 1, (64, 128, 256, 512)))
    weights = sum(p.numel() for p in network.parameters())
    shortcuts = sum(
        p.numel() for unit in network.modules() if isinstance(unit, ResidualUnit) for p in unit.shortcut.parameters()
    )
    assert round((weights - shortcuts) / 1e6, 1) == 7.8


def test_a_unit_whose_branch_is_silent_passes_its_input_on() -> None:
    unit = ResidualUnit(2, 4, 4, (3, 3))
    for parameter in unit.branch[-1].parameters():
        nn.init.zeros_(parameter)
    image = torch.randn(1, 4, 6, 6)
    assert torch.equal(unit(image), image)


def test_the_first_unit_sees_the_image_as_it_is() -> None:
    assert isinstance(ResUNet(shape(2, 1, 2, (2, 4))).encoder[0].branch[0], nn.Conv2d)


def test_strided_shortcuts_are_strided_convolutions() -> None:
    unit = ResidualUnit(2, 4, 6, (3, 3), (2, 3))
    for parameter in unit.branch[-1].parameters():
        nn.init.zeros_(parameter)
    image = torch.randn(1, 4, 7, 8)
    assert isinstance(unit.shortcut, nn.Conv2d)
    expected = nn.functional.conv2d(image, unit.shortcut.weight, unit.shortcut.bias, stride=(2, 3))
    torch.testing.assert_close(unit(image), expected)


def test_narrow_widths_train_in_bf16_and_channels_last() -> None:
    """Convolutions of 8 channels, 1x1 and strided, corrupted the heap."""
    network = ResUNet(shape(2, 1, 2, (8, 16))).train().to(memory_format=torch.channels_last)
    image = torch.randn(16, 1, 128, 128).contiguous(memory_format=torch.channels_last)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(image)
        answer.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
