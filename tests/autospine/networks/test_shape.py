from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.networks.shape import SHARES, NetworkShape

PLANNED = NetworkShape(2, 1, 4, (16, 32), ((3, 5), (3, 3)), ((1, 1), (1, 2)))


def test_a_papers_stages_take_the_place_of_the_plans() -> None:
    found = PLANNED.with_stages((8, 12, 20))
    assert (found.dimension, found.in_channels, found.out_channels) == (2, 1, 4)
    assert found.widths == (8, 12, 20)
    assert found.kernels == ((3, 3),) * 3
    assert found.strides == ((1, 1), (2, 2), (2, 2))
    assert found.scale_factor == (4, 4)
    assert not found.deep_supervision


def test_strides_can_be_given() -> None:
    volume = replace(PLANNED, dimension=3, kernels=((3,) * 3,) * 2, strides=((1,) * 3,) * 2)
    found = volume.with_stages((8, 8), ((1, 1, 1), (1, 2, 2)))
    assert found.kernels == ((3, 3, 3),) * 2
    assert found.scale_factor == (1, 2, 2)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dimension": 4}, "dimension is 4"),
        ({"widths": (8,)}, "one entry per stage"),
        ({"kernels": ((3, 3), (2, 3))}, "odd"),
        ({"strides": ((2, 2), (2, 2))}, "first stage"),
        ({"strides": ((1, 1), (2, 2, 2))}, "2 axes"),
        ({"blocks": 0}, "should be 1 or more"),
        ({"in_channels": -3}, "should be 1 or more"),
        ({"widths": tuple(10**9 for _ in PLANNED.widths)}, "has over"),
    ],
)
def test_stages_that_do_not_fit_are_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(PLANNED, **change)


@given(st.lists(st.integers(1, 100), min_size=2, max_size=7), st.sampled_from([1, 4, 8]))
def test_narrower_networks_rise_to_the_whole_one(widths: list[int], multiple: int) -> None:
    whole = PLANNED.with_stages(tuple(width * multiple for width in widths))
    found = whole.narrower(multiple)
    assert len(found) == len(SHARES)
    assert found[-1] == whole
    for share, shape in zip(SHARES, found, strict=True):
        assert replace(shape, widths=whole.widths) == whole
        for width, full in zip(shape.widths, whole.widths, strict=True):
            assert width % multiple == 0
            assert width >= multiple
            assert width == multiple or full * share - multiple < width <= full * share
