from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from autospine.metrics.components import component_boxes, connected_components


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3, 1), (3, 1, 1), (1, 1, 5), (1, 3, 5), (3, 1, 3)])
def test_every_other_voxel_of_a_line_or_plane(shape: tuple[int, int, int]) -> None:
    """So many components in so few voxels broke a library."""
    mask = np.zeros(shape, bool)
    mask[::2, ::2, ::2] = True
    components, count = connected_components(mask)
    assert count == mask.sum()
    assert components[mask].tolist() == list(range(1, count + 1))


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.sampled_from([0, 0, 1, 4])))
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("neighbours", [6, 26])
def test_two_voxels_are_of_one_component_where_a_way_of_one_label_joins_them(
    neighbours: int, labels: np.ndarray
) -> None:
    components, count = connected_components(labels, neighbours)
    assert ((components > 0) == (labels > 0)).all()
    assert set(np.unique(components)) - {0} == set(range(1, count + 1))
    reached: dict[tuple[int, ...], tuple[int, ...]] = {}
    voxels = [tuple(map(int, voxel)) for voxel in np.argwhere(labels)]
    for start in voxels:
        waiting = [] if start in reached else [start]
        while waiting:
            here = waiting.pop()
            if here in reached:
                continue
            reached[here] = start
            for other in voxels:
                steps = [abs(a - b) for a, b in zip(here, other, strict=True)]
                near = max(steps) == 1 and (neighbours == 26 or sum(steps) == 1)
                if near and labels[here] == labels[other]:
                    waiting.append(other)
    pairs = {(reached[voxel], int(components[voxel])) for voxel in voxels}
    assert len(pairs) == count == len(set(reached.values()))


def test_boxes() -> None:
    components = np.zeros((3, 4, 5), np.int32)
    components[1, 1:3, 4] = 2
    assert list(component_boxes(components)) == [(2, (slice(1, 2), slice(1, 3), slice(4, 5)))]
    assert connected_components(np.zeros((2, 0, 3), bool))[1] == 0
