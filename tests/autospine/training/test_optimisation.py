from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autospine.core.precision import Precision
from autospine.planning.recipe import ScheduleSettings
from autospine.training.optimisation import MovingAverage, OptimizerStep, Schedule

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


def schedule_of(settings: ScheduleSettings, updates: int, rate: float = 1.0) -> Schedule:
    return Schedule(settings, [torch.optim.SGD([torch.zeros(1, requires_grad=True)], rate)], updates)


def rates_of(schedule: Schedule, updates: range) -> list[float]:
    """What the optimiser's rate is at each update."""
    (optimiser,) = (rate.optimizer for rate in schedule.rates)
    rates = []
    for update in updates:
        schedule.start(update)
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
    return rates


def test_warm_up_is_linear_and_reaches_the_highest() -> None:
    rates = rates_of(schedule_of(ScheduleSettings("constant", warmup=0.1), 100), range(12))
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10:] == [1, 1]


def test_cosine_and_poly_against_their_formulas() -> None:
    cosine = rates_of(schedule_of(ScheduleSettings("cosine", warmup=0.0), 50, 0.3), range(50))
    poly = rates_of(schedule_of(ScheduleSettings("poly", warmup=0.0, power=0.9), 50, 0.3), range(50))
    for step in range(50):
        assert cosine[step] == pytest.approx(0.3 * (1 + math.cos(math.pi * step / 50)) / 2, abs=1e-12)
        assert poly[step] == pytest.approx(0.3 * (1 - step / 50) ** 0.9, abs=1e-12)


@given(st.sampled_from(["cosine", "poly", "constant", "plateau"]), st.floats(0, 1), st.integers(1, 300))
def test_every_factor_is_above_zero_and_at_most_one(kind: str, warmup: float, steps: int) -> None:
    schedule = schedule_of(ScheduleSettings(kind, warmup=warmup), steps)
    assert all(0 < schedule.factor(step) <= 1 for step in range(steps))


def test_plateau_waits_for_its_patience_then_lowers() -> None:
    schedule = schedule_of(ScheduleSettings("plateau", warmup=0.0, patience=2, factor=0.1), 100)
    rates, first = [], rates_of(schedule, range(1))
    assert first == [1]
    for update, score in enumerate((0.5, 0.4, 0.5, 0.3, 0.2, 0.6, 0.1, 0.1, 0.1)):
        schedule.observe(score)
        rates += rates_of(schedule, range(update + 1, update + 2))
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("kind", ["cosine", "plateau"])
def test_a_restored_schedule_goes_on_as_the_first_would(kind: str) -> None:
    settings = ScheduleSettings(kind, warmup=0.02, patience=1)
    first, second = schedule_of(settings, 100, 0.3), schedule_of(settings, 100, 0.3)
    rates_of(first, range(5))
    for score in (0.5, 0.4, 0.3, 0.2):
        first.observe(score)
    second.load_state_dict(first.state_dict())
    assert first.state_dict()["plateau"] == second.state_dict()["plateau"]
    found = [rates_of(schedule, range(5, 8)) for schedule in (first, second)]
    assert found[0] == found[1]
    assert found[0][-1] < 0.3


def test_only_plateau_listens_to_scores() -> None:
    schedule = schedule_of(ScheduleSettings("constant", patience=0), 100)
    for _ in range(5):
        schedule.observe(0.0)
    assert schedule.factor(50) == 1


def test_the_moving_average_starts_short_and_counts_buffers_that_are_numbers() -> None:
    network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    averaged, expected = MovingAverage(network, 0.9), {}
    for update in range(1, 30):
        for parameter in network.parameters():
            parameter.data.normal_()
        network(torch.randn(4, 2))
        decay = min(0.9, (1 + update) / (10 + update))
        for name, value in network.state_dict().items():
            old = expected.get(name)
            averages = old is not None and value.is_floating_point()
            expected[name] = old.lerp(value, 1 - decay) if averages else value.clone()
        averaged.update_parameters(network)
    found = averaged.module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not averaged.module.training
