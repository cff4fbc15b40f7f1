"""Inverse of a recipe's transforms and of resampling, for volumes that arrive a few planes at a time.

Streamed results equal those of the whole array (each `inverse`, `resize`) to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autospine.inference.sliding_window import Chunk, Chunks
from autospine.preprocessing.transforms.base import AppliedTransforms, Shape, Transform
from autospine.preprocessing.transforms.spatial import CropResizePad, SpatialTransform, Window, in_grid
from autospine.volumes.resampling import resample_axis, resize, source_positions

PLANES = 8  # resized at once


@dataclass(frozen=True)
class AppliedTransform:
    """An applied transform that moved voxels."""

    transform: Transform
    before: Shape  # shape of the grid before it
    after: Shape  # shape of the grid after it

    @property
    def crop_resize_pad(self) -> CropResizePad | None:
        """Return what the transform comes to on its grid, None where it does something else."""
        return self.transform.for_shape(self.before) if isinstance(self.transform, SpatialTransform) else None

    def keeps(self, axis: int) -> bool:
        """Tell whether each plane along an axis is still the same one."""
        spatial, size = self.crop_resize_pad, self.before[axis]
        if spatial is None:
            return False
        window = spatial.window[axis]
        return (window.start, window.stop) == (0, size) and spatial.size[axis] == spatial.shape[axis] == size


def spatial_transforms(applied: AppliedTransforms, after: Shape) -> tuple[AppliedTransform, ...]:
    """Return the transforms that moved voxels, last first; those of intensities alone need no inverse."""
    transforms = []
    for transform, before in reversed(applied):
        if isinstance(transform, SpatialTransform) or not _keeps_voxels(transform, before, after):
            transforms.append(AppliedTransform(transform, before, after))
        after = before
    return tuple(transforms)


def _keeps_voxels(transform: Transform, before: Shape, after: Shape) -> bool:
    """Tell whether the inverse returns its argument; tried on one channel that takes no memory."""
    if before != after:
        return False
    probe = np.broadcast_to(np.float32(0), (1, *after))
    return transform.inverse(probe, before, np.zeros(1, np.float32)) is probe


def invert_stream(transforms: Sequence[AppliedTransform], chunks: Chunks, axis: int, fill: np.ndarray) -> Chunks:
    """Bring network outputs back to the grid before the first transform, while they arrive.

    Planes that never arrive must be kept by every transform along `axis`; they do not come out either.

    Args:
        transforms: As `spatial_transforms` returns them.
        chunks: In order along `axis`.
        axis: Streamed axis, 0 to 2.
        fill: `(channels,)` values where a transform cropped.
    """
    for transform in transforms:
        spatial = transform.crop_resize_pad
        if spatial is None:
            chunks = _invert_whole(transform, chunks, axis, fill)
        else:
            chunks = _invert_crop_resize_pad(spatial, transform.before, chunks, axis, fill)
    return chunks


def _invert_whole(transform: AppliedTransform, chunks: Chunks, axis: int, fill: np.ndarray) -> Chunks:
    """Gather all planes and invert any other transform one channel at a time."""
    values = np.empty((len(fill), *transform.after), np.float32)
    for first, chunk in chunks:
        planes(values, axis, slice(first, first + chunk.shape[axis + 1]))[:] = chunk
    inverse = np.empty((len(fill), *transform.before), np.float32)
    for k in range(len(inverse)):
        inverse[k] = transform.transform.inverse(values[k : k + 1], transform.before, fill[k : k + 1])[0]
    yield 0, inverse


def _invert_crop_resize_pad(
    spatial: CropResizePad, before: Shape, chunks: Chunks, axis: int, fill: np.ndarray
) -> Chunks:
    """Crop the margin off, resize to the window, and put the fill around it, as `CropResizePad.inverse` does."""
    window = tuple(part.stop - part.start for part in spatial.window)
    resized = resize_stream(_without_margin(spatial, chunks, axis), axis, spatial.size, window)
    return resized if window == before else _surrounded(resized, axis, spatial.window, before, fill)


def _without_margin(spatial: CropResizePad, chunks: Chunks, axis: int) -> Chunks:
    inside = [slice(offset, offset + size) for offset, size in zip(spatial.offset, spatial.size, strict=True)]
    across = [slice(None) if a == axis else part for a, part in enumerate(inside)]
    for first, values in chunks:
        low = max(inside[axis].start - first, 0)
        high = min(inside[axis].stop - first, values.shape[axis + 1])
        if low < high:
            yield first + low - inside[axis].start, planes(values, axis, slice(low, high))[(slice(None), *across)]


def _surrounded(chunks: Chunks, axis: int, window: Window, shape: Shape, fill: np.ndarray) -> Chunks:
    """Put the fill around the planes that arrive, and before and behind them."""
    inside, streamed = [slice(None) if a == axis else part for a, part in enumerate(window)], window[axis]
    yield from _filled(range(streamed.start), axis, shape, fill)
    for first, values in chunks:
        grid = _with_planes(shape, axis, values.shape[axis + 1])
        yield streamed.start + first, in_grid(values, grid, (inside[0], inside[1], inside[2]), fill)
    yield from _filled(range(streamed.stop, shape[axis]), axis, shape, fill)


def _filled(indices: range, axis: int, shape: Shape, fill: np.ndarray) -> Chunks:
    for k in indices[::PLANES]:
        grid = _with_planes(shape, axis, min(PLANES, indices.stop - k))
        yield k, np.broadcast_to(fill[:, None, None, None], (len(fill), *grid))


def _with_planes(shape: Shape, axis: int, count: int) -> Shape:
    first, second, third = (count if a == axis else n for a, n in enumerate(shape))
    return first, second, third


def resize_stream(chunks: Iterable[Chunk], axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> Chunks:
    """Resize a volume to another grid of the same extent as `resize` does: axis by axis, averaging where it shrinks.

    Chunks come in order along `axis`; `before` and `after` are whole (slices, rows, columns).
    """
    resized = _resize_across(_thin(chunks, axis), range(axis), after)
    if before[axis] != after[axis]:
        resized = _resample(resized, axis, before[axis], after[axis])
    return _resize_across(resized, range(axis + 1, 3), after)


def _thin(chunks: Iterable[Chunk], axis: int) -> Chunks:
    for first, values in chunks:
        for k in range(0, values.shape[axis + 1], PLANES):
            yield first + k, planes(values, axis, slice(k, k + PLANES))


def _resize_across(chunks: Chunks, axes: range, after: tuple[int, ...]) -> Chunks:
    for first, values in chunks:
        yield first, resize(values, tuple(after[a] if a in axes else values.shape[a + 1] for a in range(3)))


def _resample(chunks: Chunks, axis: int, old: int, new: int) -> Chunks:
    """Resample the streamed axis as `resample_axis` does; hold the planes that are still needed."""
    positions, step = source_positions(old, new), old / new
    reach = max(step, 1)  # on both sides of a position
    lowest = np.clip(np.floor(positions - reach), 0, old - 1).astype(int)
    highest = np.clip(np.ceil(positions + reach), 0, old - 1).astype(int)
    held, start, done = None, 0, 0
    for _, values in chunks:
        held = values if held is None else np.concatenate([held, values], axis=axis + 1)
        ready = int(np.searchsorted(highest, start + held.shape[axis + 1] - 1, side="right"))
        for k in range(done, ready, PLANES):
            yield k, resample_axis(held, axis + 1, positions[k : min(k + PLANES, ready)] - start, step)
        done = ready
        if done < new:
            held, start = planes(held, axis, slice(lowest[done] - start, None)), int(lowest[done])


def add_streams(streams: Sequence[Iterable[Chunk]], axis: int) -> Chunks:
    """Sum volumes of one grid whose chunks have different thickness; yield chunks as thin as the thinnest at hand."""
    iterators, first = [iter(stream) for stream in streams], 0
    held: list[np.ndarray | None] = [None] * len(iterators)
    while True:
        for k, iterator in enumerate(iterators):
            if held[k] is None:
                following = next(iterator, None)
                if following is None:
                    return
                held[k] = following[1]
        chunks = [values for values in held if values is not None]
        ready = min(values.shape[axis + 1] for values in chunks)
        total = planes(chunks[0], axis, slice(ready)).copy()
        for values in chunks[1:]:
            total += planes(values, axis, slice(ready))
        yield first, total
        first += ready
        held = [planes(v, axis, slice(ready, None)) if v.shape[axis + 1] > ready else None for v in chunks]


def pick_slices(chunks: Iterable[Chunk], axis: int, wanted: range) -> Iterator[Chunk]:
    """Keep some slices of a volume; their chunks are counted among the kept ones.

    Args:
        chunks: In order along `axis`.
        axis: Streamed axis, 0 to 2.
        wanted: Slices to keep, evenly spaced from slice 0 on.
    """
    for first, values in chunks:
        if axis:
            yield first, values[:, :: wanted.step]
            continue
        number = -(-first // wanted.step)  # of the first wanted slice at or behind the chunk's first
        picked = values[:, number * wanted.step - first :: wanted.step]
        if picked.shape[1]:
            yield number, picked


def planes(values: np.ndarray, axis: int, part: slice) -> np.ndarray:
    """Return a view of some planes of `(channels, slices, rows, columns)` along one of the last three axes."""
    return values[(slice(None),) * (axis + 1) + (part,)]
