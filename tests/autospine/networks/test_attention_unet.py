from __future__ import annotations

import torch
from torch import nn

from autospine.networks.attention_unet import AttentionGate, AttentionUNet
from autospine.networks.shape import NetworkShape
from tests.contracts.network import NetworkContract


def shape(dimension: int, in_channels: int, out_channels: int, stages: int = 4) -> NetworkShape:
    return NetworkShape(
        dimension,
        in_channels,
        out_channels,
        widths=tuple(min(4 * 2**stage, 16) for stage in range(stages)),
        kernels=((3,) * dimension,) * stages,
        strides=((1,) * dimension, *((2,) * dimension,) * (stages - 1)),
        decoder_blocks=2,
        deep_supervision=False,
    )


# On maps of two slices, which no plan pools down to, oneDNN's bfloat16 gradients of weights are garbage now and then.
DEEPEST_OF_THREE_SLICES = {2: (37, 45), 3: (17, 35, 29)}


class TestAttentionUNet(NetworkContract):
    sizes = DEEPEST_OF_THREE_SLICES

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return AttentionUNet(shape(dimension, in_channels, out_channels))


class TestAttentionInTheEncoderToo(NetworkContract):
    sizes = DEEPEST_OF_THREE_SLICES

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        return AttentionUNet(shape(dimension, in_channels, out_channels), attend_encoder=True)


def test_a_closed_gate_lets_only_the_norms_shift_through() -> None:
    gate = AttentionGate(2, 4, 8, (2, 2)).eval()
    nn.init.zeros_(gate.psi.weight)
    nn.init.constant_(gate.psi.bias, -100.0)
    with torch.no_grad():
        passed = gate(torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4))
    assert passed.abs().max() < 1e-6


def test_an_open_gate_lets_the_skip_through() -> None:
    gate = AttentionGate(2, 4, 8, (2, 2)).eval()
    nn.init.zeros_(gate.psi.weight)
    nn.init.constant_(gate.psi.bias, 100.0)
    skip = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(gate(skip, torch.randn(1, 8, 4, 4)), gate.out(skip))


def test_the_gate_follows_where_the_coarser_features_point() -> None:
    """With theta at zero only the gating signal decides: one half of the image is closed."""
    gate = AttentionGate(2, 4, 1, (2, 2)).eval()
    for layer, value in ((gate.theta, 0.0), (gate.phi, 1.0), (gate.psi, 50.0)):
        nn.init.constant_(layer.weight, value)
    nn.init.zeros_(gate.phi.bias)
    nn.init.constant_(gate.psi.bias, -50.0)
    asked = torch.zeros(1, 1, 4, 4)
    asked[..., 2:] = 1.0
    with torch.no_grad():
        passed = gate(torch.randn(1, 4, 8, 8), asked)
    assert passed[..., :3].abs().max() < 1e-6
    assert passed[..., 5:].abs().min() > 0


def test_six_poolings_of_256_pixels_end_at_4() -> None:
    network = AttentionUNet(shape(2, 1, 8, stages=7)).eval()
    seen: list[tuple[int, ...]] = []
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2:]))
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 256, 256)).shape == (1, 8, 256, 256)
    assert seen == [(4, 4)]
