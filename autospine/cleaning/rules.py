"""Rules of mask cleaning: each looks at all pixels of all sagittal slices at once.

After algorithm 1 (APTA) of Ahmed et al. 2024, which works on RGB pictures of masks: 1 "specified ranges" of colours
become red, green or blue; 3 the colour of the first matching adjacent pixel; 4 outlines; 5 (called "border pixels" in
the text) pixels whose adjacent pixels differ; 7 singletons; 8 green and blue without red.

The paper leaves open what a neighbour is, and ties. Here the neighbours of a pixel are the eight around it in its
slice; a pixel whose own class is among the most common keeps it, else the smallest integer wins. A rule sees the slice
as the rule before has left it, and changes all of its pixels at one time. `IGNORE_LABEL` and `UNKNOWN` pixels are
nobody's neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

VERTEBRA, CANAL, DISC = 1, 2, 3  # of the scheme semantic4; 0 is background
CLASSES = 4
UNKNOWN, IGNORE_LABEL = 254, 255  # an integer that the scheme lacks; a voxel that nobody annotated
BITS = 4  # a pixel and its neighbours are at most nine: a count takes four bits
COUNT = (1 << BITS) - 1

_SHIFTS = np.arange(CLASSES, dtype=np.uint16) * BITS


def _by_class(values: np.ndarray, others: int) -> np.ndarray:
    """Return `(256,)` uint16: a value for each class, another for what is no class."""
    table = np.full(256, others, np.uint16)
    table[:CLASSES] = values
    return table


_ONE = _by_class(1 << _SHIFTS, 0)
_OWN = _by_class(COUNT << _SHIFTS, 0xFFFF)  # what is no class is never alone,
_FOREIGN = _by_class(0xFFFF ^ (COUNT << _SHIFTS), 0)  # and has no outline


@dataclass(frozen=True)
class Rule:
    """One rule of cleaning."""

    name: str  # its column in a report
    # `(slices, rows, columns)` uint8 classes before the rule to those after it; never changes its argument.
    apply: Callable[[np.ndarray], np.ndarray]
    # A class that the data set has to annotate for the rule to make sense; None if it always does.
    needs: int | None = None


def neighbour_counts(classes: np.ndarray) -> np.ndarray:
    """Count each class among a pixel's eight neighbours, uint16: four bits per class, class 0 in the lowest."""
    own = _ONE[classes]
    rows = own.copy()
    rows[:, 1:] += own[:, :-1]
    rows[:, :-1] += own[:, 1:]
    counts = rows.copy()
    counts[:, :, 1:] += rows[:, :, :-1]
    counts[:, :, :-1] += rows[:, :, 1:]
    counts -= own
    return counts


def _most_common(counts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the `(pixels,)` most common class of `(pixels,)` counts, each at least 1; ties as the module says."""
    per_class = counts[:, None] >> _SHIFTS & COUNT  # (pixels, classes)
    most = per_class.max(axis=1)
    known = own < CLASSES
    kept = known & (per_class[np.arange(len(own)), np.where(known, own, 0)] == most)
    return np.where(kept, own, per_class.argmax(axis=1)).astype(np.uint8)


def _replaced(classes: np.ndarray, counts: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return a copy with the most common neighbour at the pixels of the mask `where`."""
    result = classes.copy()
    result[where] = _most_common(counts[where], classes[where])
    return result


def fill_unknown(classes: np.ndarray) -> np.ndarray:
    """Replace integers outside the scheme by the most common neighbour, from the rim inwards, else by background."""
    result = classes.copy(order="C")
    for index in np.flatnonzero((classes == UNKNOWN).any(axis=(1, 2))):
        plane = result[index : index + 1]  # (1, rows, columns)
        unknown = plane == UNKNOWN
        while unknown.any():
            counts = neighbour_counts(plane)
            reached = unknown & (counts > 0)
            if not reached.any():
                plane[unknown] = 0
                break
            plane[...] = _replaced(plane, counts, reached)
            unknown &= ~reached
    return result


def match_adjacent(classes: np.ndarray) -> np.ndarray:
    """Take the colour of the first adjacent pixel of the same colour: on label maps, nothing changes."""
    return classes


def remove_outlines(classes: np.ndarray) -> np.ndarray:
    """Replace pixels with a neighbour of another class by the most common neighbour."""
    counts = neighbour_counts(classes)
    return _replaced(classes, counts, (counts & _FOREIGN[classes]) != 0)


def align_borders(classes: np.ndarray) -> np.ndarray:
    """Replace pixels unlike both left and right, or both above and below, by the most common neighbour."""
    where = np.zeros(classes.shape, bool)
    for axis in (1, 2):
        first, second = _split(classes, axis)
        differ = (first != second) & (np.maximum(first, second) < CLASSES)  # from the next along the axis
        before, after = _split(differ, axis)
        inner = (slice(None), slice(1, -1), slice(None)) if axis == 1 else (..., slice(1, -1))
        where[inner] |= before & after
    return _replaced(classes, neighbour_counts(classes), where)


def _split(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all but the last, and all but the first, along rows or columns."""
    return (array[:, :-1], array[:, 1:]) if axis == 1 else (array[:, :, :-1], array[:, :, 1:])


def replace_isolated(classes: np.ndarray) -> np.ndarray:
    """Replace pixels without a neighbour of their class by the most common neighbour."""
    counts = neighbour_counts(classes)
    return _replaced(classes, counts, ((counts & _OWN[classes]) == 0) & (counts != 0))


def recolour(classes: np.ndarray) -> np.ndarray:
    """Make discs and canal vertebra on slices that show no vertebra."""
    result = classes.copy()
    for plane in result:
        if not (plane == VERTEBRA).any():
            plane[(plane == CANAL) | (plane == DISC)] = VERTEBRA
    return result


ADAPTED = (Rule("unknown", fill_unknown), Rule("isolated", replace_isolated))
PUBLISHED = (
    Rule("unknown", fill_unknown),
    Rule("first_matching", match_adjacent),
    Rule("outline", remove_outlines),
    Rule("border", align_borders),
    Rule("isolated", replace_isolated),
    Rule("recoloured", recolour, needs=VERTEBRA),
)
RULES = {"published": PUBLISHED, "adapted": ADAPTED}
