from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.core import registry
from autospine.core.machine import Machine
from autospine.networks.shape import NetworkShape
from autospine.networks.unet import UNet
from autospine.planning.memory import (
    activations,
    multiply_adds,
    parameters,
    training_memory_gib,
    training_seconds,
)
from autospine.planning.plan import Plan
from tests.contracts.planner import LARGE, fingerprint, some_cases


def plan(name: str) -> Plan:
    return registry.load("planners", name)(fingerprint(*some_cases()), LARGE).plan()


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["planners"]))
@pytest.mark.parametrize("changes", [{}, {"blocks": 3}, {"decoder_blocks": 2}, {"deep_supervision": False}])
def test_parameters_are_those_of_the_real_network(name: str, changes: dict[str, int]) -> None:
    found = plan(name).network
    shape = replace(found, widths=(8, 16, 32, 32, 32, 32)[: len(found.widths)], **changes)
    assert parameters(shape) == sum(p.numel() for p in UNet(shape).parameters())


def test_multiply_adds_of_a_network_counted_by_hand() -> None:
    # Stage 0: 1 -> 2 -> 2 channels on 8 x 8, decoder 4 -> 2; stage 1: 2 -> 4 -> 4 on 4 x 4. 3 x 3 kernels.
    shape = NetworkShape(2, 1, 3, (2, 4), ((3, 3), (3, 3)), ((1, 1), (2, 2)))
    by_hand = 9 * 64 * (1 * 2 + 2 * 2 + 4 * 2) + 9 * 16 * (2 * 4 + 4 * 4)
    assert multiply_adds(shape, (8, 8)) == by_hand


def test_activations_grow_with_the_patch_and_shrink_along_the_stages() -> None:
    shape = NetworkShape(2, 1, 3, (2, 4), ((3, 3), (3, 3)), ((1, 1), (2, 2)))
    assert activations(shape, (8, 8)) == 64 * 2 * (2 + 1 + 2) + 16 * 4 * 2
    assert activations(shape, (16, 8)) == 2 * activations(shape, (8, 8))


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["planners"]))
def test_memory_grows_with_batch_patch_and_width(name: str) -> None:
    small = plan(name)
    wider = replace(small.network, widths=tuple(2 * w for w in small.network.widths))
    taller = tuple(v if axis == small.view_axis else 2 * v for axis, v in enumerate(small.patch))
    for larger in (
        replace(small, batch=2 * small.batch),
        replace(small, patch=taller),
        replace(small, network=wider),
    ):
        assert training_memory_gib(larger) > 1.2 * training_memory_gib(small)


def test_time_is_a_range_that_scales_with_updates_and_cores() -> None:
    low, high = training_seconds(plan("2d_sagittal"), Machine("cpu", 8, 2), 10)
    assert 0 < low < high
    assert training_seconds(plan("2d_sagittal"), Machine("cpu", 8, 2), 20)[1] == pytest.approx(2 * high)
    assert training_seconds(plan("2d_sagittal"), Machine("cpu", 8, 4), 10)[1] == pytest.approx(high / 2)
    assert training_seconds(plan("2d_sagittal"), Machine("cuda", 8, 2), 10)[1] < high
