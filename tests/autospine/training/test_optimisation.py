from __future__ import annotations

import pytest
import torch
from torch import nn

from autospine.core.precision import Precision
from autospine.training.optimisation import OptimizerStep

CPU = torch.device("cpu")
PLAIN = Precision()


def test_autocast_gives_the_asked_type_and_leaves_the_weights() -> None:
    layer, x = nn.Conv2d(1, 2, 3), torch.ones(1, 1, 5, 5)
    for name, expected in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with Precision(name).autocast(CPU):
            assert layer(x).dtype == expected
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize(("dimension", "layer"), [(2, nn.Conv2d(4, 4, 3)), (3, nn.Conv3d(4, 4, 3))])
def test_layouts(dimension: int, layer: nn.Module) -> None:
    last = {2: torch.channels_last, 3: torch.channels_last_3d}[dimension]
    assert Precision(channels_last=True).layout(dimension) == last
    assert Precision().layout(dimension) == torch.contiguous_format
    assert Precision(channels_last=True).arrange(layer, dimension).weight.is_contiguous(memory_format=last)


def updater_of(network: nn.Module, clip: float, precision: Precision = PLAIN) -> OptimizerStep:
    return OptimizerStep({"n": network}, {"n": torch.optim.SGD(network.parameters(), 0.1)}, {"n": clip}, precision)


@pytest.mark.parametrize("clip", [0.0, 0.5, 100.0])
def test_an_update_is_plain_gradient_descent_with_the_norm_clipped(clip: float) -> None:
    network = nn.Linear(3, 1, bias=False)
    before = network.weight.detach().clone()
    gradient = torch.tensor([[3.0, 0.0, 4.0]])  # of norm 5
    updater_of(network, clip).update("n", (network.weight * gradient).sum())
    shorter = min(1.0, clip / 5) if clip else 1.0
    torch.testing.assert_close(network.weight.detach(), before - 0.1 * shorter * gradient, atol=1e-5, rtol=1e-4)


def test_gradients_do_not_pile_up_over_updates() -> None:
    network = nn.Linear(2, 1, bias=False)
    before, updater = network.weight.detach().clone(), updater_of(network, 0)
    for _ in range(3):
        updater.update("n", network.weight.sum())
    torch.testing.assert_close(network.weight.detach(), before - 0.3)


def test_only_the_named_network_moves() -> None:
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    networks = {"first": first, "second": second}
    optimisers = {name: torch.optim.SGD(each.parameters(), 1.0) for name, each in networks.items()}
    updater = OptimizerStep(networks, optimisers, {"first": 0.0, "second": 0.0}, Precision())
    kept = second.weight.detach().clone()
    updater.update("first", second(first(torch.ones(1, 1))).sum())
    assert torch.equal(second.weight.detach(), kept)
    with torch.no_grad():
        moved = first.weight.grad
    assert moved is not None
    assert moved.any()


def test_only_float16_scales_its_losses() -> None:
    network = nn.Linear(1, 1)
    for name in ("float32", "bfloat16"):
        assert not updater_of(network, 0, Precision(name)).scaler.is_enabled()
