from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.metrics.surface_elements import SurfaceElements, shells

STEPS = st.sampled_from([0.5, 0.7, 1.0, 2.5, 4.0])
SPACINGS = st.one_of(st.tuples(STEPS), st.tuples(STEPS, STEPS), st.tuples(STEPS, STEPS, STEPS))


@given(SPACINGS)
@settings(deadline=None)
def test_shells_are_complete_and_in_order(spacing: tuple[float, ...]) -> None:
    found = shells(spacing)
    assert [mm for mm, _ in found] == sorted(mm for mm, _ in found)
    inside = {offset: mm for mm, offsets in found for offset in offsets}
    assert len(inside) == sum(len(offsets) for _, offsets in found)  # none twice
    for offset, mm in inside.items():
        assert mm == pytest.approx(np.linalg.norm(np.multiply(offset, spacing)))
    beyond = [
        np.linalg.norm(np.multiply(offset, spacing))
        for offset in product(range(-9, 10), repeat=len(spacing))
        if offset not in inside
    ]
    assert found[-1][0] < min(beyond)


@given(
    arrays(bool, (4, 5, 30), elements=st.sampled_from([False] * 30 + [True])),
    st.tuples(STEPS, STEPS, STEPS),
)
@settings(max_examples=40, deadline=None)
def test_near_and_far_are_the_nearest(mask: np.ndarray, spacing: tuple[float, ...]) -> None:
    """Few voxels in a long image: some cells find a neighbour at once, others need the tree."""
    mask[1, 2, 3] = True
    goal = np.zeros_like(mask)
    goal[2, 2, 4] = True
    start, end = SurfaceElements.of(mask, spacing), SurfaceElements.of(goal, spacing)
    here, there = (np.argwhere(each.cells) * spacing for each in (start, end))
    apart = np.linalg.norm(here[:, None] - there[None], axis=-1)
    assert start.distances(end) == pytest.approx(apart.min(axis=1))
    assert end.distances(start) == pytest.approx(apart.min(axis=0))


def test_the_margin_keeps_rows_apart() -> None:
    """Neighbours in the flattened array that are not neighbours in space."""
    start, goal = np.zeros((1, 4, 9), bool), np.zeros((1, 4, 9), bool)
    start[0, 0, 8], goal[0, 1, 0] = True, True
    cells = [SurfaceElements.of(mask, (1.0, 1.0, 1.0)) for mask in (start, goal)]
    assert cells[0].distances(cells[1]).min() == pytest.approx(7.0)  # from the cell at its front to the one behind
