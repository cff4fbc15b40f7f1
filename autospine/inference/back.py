"""The way back to the input's grid, a few planes at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from autospine.volumes.resampling import resize, source_positions

PLANES = 8  # resized at once


def add_streams(streams: Sequence[Iterable[tuple[int, np.ndarray]]], axis: int) -> Iterator[tuple[int, np.ndarray]]:
    """Sums volumes of one grid that arrive in chunks of different thickness.

    Args:
        streams: Each (first plane, `(channels, slices, rows, columns)`) in order along `axis`, without gaps.
        axis: Streamed axis, 0 to 2.

    Yields:
        (first plane, sums), as thick as the thinnest chunk at hand.
    """
    waiting, first = [iter(stream) for stream in streams], 0
    held: list[np.ndarray | None] = [None] * len(waiting)
    while True:
        for k, stream in enumerate(waiting):
            if held[k] is None:
                following = next(stream, None)
                if following is None:
                    return
                held[k] = following[1]
        chunks = [values for values in held if values is not None]
        ready = min(values.shape[axis + 1] for values in chunks)
        total = take(chunks[0], axis, slice(ready)).copy()
        for values in chunks[1:]:
            total += take(values, axis, slice(ready))
        yield first, total
        first += ready
        held = [take(v, axis, slice(ready, None)) if v.shape[axis + 1] > ready else None for v in chunks]


def pick_slices(chunks: Iterable[tuple[int, np.ndarray]], axis: int, wanted: range) -> Iterator[tuple[int, np.ndarray]]:
    """The measured slices of a volume that arrives in chunks.

    Args:
        chunks: (first plane, `(channels, slices, rows, columns)`) in order along `axis`, without gaps.
        axis: Streamed axis, 0 to 2.
        wanted: Slices to keep, at even distances from slice 0 on.

    Yields:
        (first plane, values) with these slices alone, in order along `axis`.
    """
    for first, values in chunks:
        if axis:
            yield first, values[:, :: wanted.step]
            continue
        number = -(-first // wanted.step)  # of the first wanted slice at or behind the chunk's first
        picked = values[:, number * wanted.step - first :: wanted.step]
        if picked.shape[1]:
            yield number, picked


def resize_stream(
    chunks: Iterable[tuple[int, np.ndarray]], axis: int, before: tuple[int, ...], after: tuple[int, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """Linear interpolation of a volume that arrives in chunks.

    Args:
        chunks: (first plane, `(channels, slices, rows, columns)`) in order along `axis`, without gaps.
        axis: Streamed axis, 0 to 2.
        before: Voxels of the whole grid that arrives.
        after: Voxels of the grid that is wanted.

    Yields:
        (first plane, values) on the wanted grid, in order along `axis`.
    """
    across = [n for a, n in enumerate(after) if a != axis]
    if before[axis] == after[axis]:
        for first, values in chunks:
            for k in range(0, values.shape[axis + 1], PLANES):
                part = take(values, axis, slice(k, k + PLANES))
                yield first + k, _resize_across(part, axis, across)
        return
    positions = np.clip(source_positions(before[axis], after[axis]), 0, before[axis] - 1)
    held, start, made = None, 0, 0
    for first, values in chunks:
        held = values if held is None else np.concatenate([held, values], axis=axis + 1)
        end = first + values.shape[axis + 1]
        ready = int(np.searchsorted(positions, end - 1, side="right"))
        for k in range(made, ready, PLANES):
            wanted = positions[k : min(k + PLANES, ready)] - start
            yield k, _resize_across(_interpolate(held, axis, wanted), axis, across)
        made = ready
        if made < len(positions):
            keep = min(int(positions[made]), end - 1)
            held, start = take(held, axis, slice(keep - start, None)), keep


def take(values: np.ndarray, axis: int, part: slice) -> np.ndarray:
    """Planes of `(channels, slices, rows, columns)` along one of its last three axes: a view."""
    return values[(slice(None),) * (axis + 1) + (part,)]


def _interpolate(values: np.ndarray, axis: int, positions: np.ndarray) -> np.ndarray:
    low = np.floor(positions).astype(np.intp)
    share = (positions - low).astype(np.float32)
    share = share.reshape([-1 if a == axis + 1 else 1 for a in range(4)])
    below = values.take(low, axis=axis + 1)
    above = values.take(np.minimum(low + 1, values.shape[axis + 1] - 1), axis=axis + 1)
    return below * (1 - share) + above * share


def _resize_across(values: np.ndarray, axis: int, across: list[int]) -> np.ndarray:
    """Resizes the two axes that are not streamed."""
    moved = np.moveaxis(values, axis + 1, 1)  # (channels, planes, a, b)
    if list(moved.shape[2:]) == across:
        return values
    return np.moveaxis(resize(np.ascontiguousarray(moved), tuple(across)), 1, axis + 1)
