"""Connected components: the pieces of a mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Box = tuple[slice, slice, slice]
FACES, ALL = 6, 26  # neighbours of a voxel


def connected_components(labels: np.ndarray, neighbours: int = ALL) -> tuple[np.ndarray, int]:
    """Number the connected components of every label: those of the lowest label first, from 1 on.

    Args:
        labels: `(slices, rows, columns)`, boolean or integers from 0 up; 0 is background.
        neighbours: 6 or 26.

    Returns:
        Numbers in the same shape, int32, and how many components there are.
    """
    from scipy import ndimage

    labels = labels.view(np.uint8) if labels.dtype == bool else labels
    structure = ndimage.generate_binary_structure(3, 1 if neighbours == FACES else 3)
    components, count = np.zeros(labels.shape, np.int32), 0
    for value, box in component_boxes(labels):
        inside = labels[box] == value
        numbers, added = ndimage.label(inside, structure)
        components[box][inside] = numbers[inside] + count
        count += int(added)
    return components, count


def component_boxes(components: np.ndarray) -> Iterator[tuple[int, Box]]:
    """Yield each number but 0 of an array of three axes, rising, with its bounding box."""
    from scipy import ndimage

    for number, box in enumerate(ndimage.find_objects(components) if components.size else (), start=1):
        if box is not None:
            yield number, box
