"""The way back through a recipe's steps, a few planes at a time: what `invert_transforms` does to a whole case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autospine.inference.back import PLANES, take
from autospine.preprocessing.transforms.base import AppliedTransforms, Shape, Transform
from autospine.preprocessing.transforms.spatial import CropResizePad, SpatialTransform, Window, in_grid
from autospine.volumes.resampling import resample_axis, resize, source_positions

Chunks = Iterator[tuple[int, np.ndarray]]  # (first plane, `(channels, slices, rows, columns)`), without gaps


@dataclass(frozen=True)
class Move:
    """A step that moved something.

    Attributes:
        step: What was done.
        before: Voxels of the grid before it.
        after: Voxels of the grid after it.
    """

    step: Transform
    before: Shape
    after: Shape

    @property
    def for_shape(self) -> CropResizePad | None:
        """What the step comes to; None where it does something else."""
        return self.step.for_shape(self.before) if isinstance(self.step, SpatialTransform) else None

    def keeps(self, axis: int) -> bool:
        """Whether each plane along an axis is still the same one."""
        found, size = self.for_shape, self.before[axis]
        if found is None:
            return False
        part = found.window[axis]
        return (part.start, part.stop) == (0, size) and found.size[axis] == found.shape[axis] == size


def spatial_steps(way: AppliedTransforms, after: Shape) -> tuple[Move, ...]:
    """The steps that moved something, last first; those that changed intensities alone have no way back.

    Args:
        way: Of `apply_transforms`.
        after: Voxels of the grid that it ended on.
    """
    found = []
    for step, before in reversed(way):
        if isinstance(step, SpatialTransform) or not _stays(step, before, after):
            found.append(Move(step, before, after))
        after = before
    return tuple(found)


def _stays(step: Transform, before: Shape, after: Shape) -> bool:
    """Whether undoing gives back what it is given; seen on one channel that takes no memory."""
    if before != after:
        return False
    probe = np.broadcast_to(np.float32(0), (1, *after))
    return step.inverse(probe, before, np.zeros(1, np.float32)) is probe


def invert_stream(moves: Sequence[Move], chunks: Chunks, axis: int, fill: np.ndarray) -> Chunks:
    """Brings a network's answer back while it arrives.

    Planes that never come must be kept by every step along `axis`: then they do not come out either.

    Args:
        moves: Of `spatial_steps`.
        chunks: In order along `axis`.
        axis: Streamed axis, 0 to 2.
        fill: `(channels,)` what stands where a step cut something off.

    Returns:
        Chunks on the grid before the first step, in order along `axis`.
    """
    for move in moves:
        for_shape = move.for_shape
        if for_shape is None:
            chunks = _undo_whole(move, chunks, axis, fill)
        else:
            chunks = _undo_placement(for_shape, move.before, chunks, axis, fill)
    return chunks


def _undo_whole(move: Move, chunks: Chunks, axis: int, fill: np.ndarray) -> Chunks:
    """For steps that are no placement: all planes are gathered, and go back one channel at a time."""
    values = np.empty((len(fill), *move.after), np.float32)
    for first, chunk in chunks:
        take(values, axis, slice(first, first + chunk.shape[axis + 1]))[:] = chunk
    back = np.empty((len(fill), *move.before), np.float32)
    for k in range(len(back)):
        back[k] = move.step.inverse(values[k : k + 1], move.before, fill[k : k + 1])[0]
    yield 0, back


def _undo_placement(for_shape: CropResizePad, before: Shape, chunks: Chunks, axis: int, fill: np.ndarray) -> Chunks:
    """As `CropResizePad.inverse`: the margin is cut off, the window resized, and the fill put around it."""
    old = tuple(part.stop - part.start for part in for_shape.window)
    back = _resized(_inside(for_shape, chunks, axis), axis, for_shape.size, old)
    return back if old == before else _surrounded(back, axis, for_shape.window, before, fill)


def _inside(for_shape: CropResizePad, chunks: Chunks, axis: int) -> Chunks:
    """Without the margin, in chunks of a few planes."""
    ends = [slice(o, o + n) for o, n in zip(for_shape.offset, for_shape.size, strict=True)]
    across = [slice(None) if a == axis else part for a, part in enumerate(ends)]
    for start, values in chunks:
        low = max(ends[axis].start - start, 0)
        high = min(ends[axis].stop - start, values.shape[axis + 1])
        for k in range(low, high, PLANES):
            part = take(values, axis, slice(k, min(k + PLANES, high)))
            yield start + k - ends[axis].start, part[(slice(None), *across)]


def _resized(chunks: Chunks, axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> Chunks:
    """As `resize`, in its order: the axes before the streamed one, that one, those behind it."""
    chunks = _resized_across(chunks, range(axis), after)
    if before[axis] != after[axis]:
        chunks = _resampled(chunks, axis, before[axis], after[axis])
    return _resized_across(chunks, range(axis + 1, 3), after)


def _resized_across(chunks: Chunks, axes: range, after: tuple[int, ...]) -> Chunks:
    for first, values in chunks:
        yield first, resize(values, tuple(after[a] if a in axes else values.shape[a + 1] for a in range(3)))


def _resampled(chunks: Chunks, axis: int, old: int, new: int) -> Chunks:
    """As `resample_axis` along the streamed axis; holds the planes that are still needed."""
    positions, step = source_positions(old, new), old / new
    reach = max(step, 1)  # on both sides of a position
    lowest = np.clip(np.floor(positions - reach), 0, old - 1).astype(int)
    highest = np.clip(np.ceil(positions + reach), 0, old - 1).astype(int)
    held, start, made = None, 0, 0
    for _, values in chunks:
        held = values if held is None else np.concatenate([held, values], axis=axis + 1)
        ready = int(np.searchsorted(highest, start + held.shape[axis + 1] - 1, side="right"))
        for k in range(made, ready, PLANES):
            wanted = positions[k : min(k + PLANES, ready)] - start
            yield k, resample_axis(held, axis + 1, wanted, step)
        made = ready
        if made < new:
            held, start = take(held, axis, slice(lowest[made] - start, None)), int(lowest[made])


def _surrounded(chunks: Chunks, axis: int, window: Window, shape: Shape, fill: np.ndarray) -> Chunks:
    """The fill around what arrives, and before and behind it."""
    inside, part = [slice(None) if a == axis else each for a, each in enumerate(window)], window[axis]
    yield from _filled(range(part.start), axis, shape, fill)
    for first, values in chunks:
        grid = _thick(shape, axis, values.shape[axis + 1])
        yield part.start + first, in_grid(values, grid, (inside[0], inside[1], inside[2]), fill)
    yield from _filled(range(part.stop, shape[axis]), axis, shape, fill)


def _filled(planes: range, axis: int, shape: Shape, fill: np.ndarray) -> Chunks:
    for k in planes[::PLANES]:
        grid = _thick(shape, axis, min(PLANES, planes.stop - k))
        yield k, np.broadcast_to(fill[:, None, None, None], (len(fill), *grid))


def _thick(shape: Shape, axis: int, planes: int) -> Shape:
    first, second, third = (planes if a == axis else n for a, n in enumerate(shape))
    return first, second, third
