"""A network over a whole case: windows in batches, Gaussian weights, finished planes handed on at once.

Nothing of the size of the case times the channels is ever held: windows are visited along one axis, and the planes
that no later window touches are averaged and passed to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

OVERLAP = 1 / 4
SIGMA = 1 / 8  # of the window
Predict = Callable[[Tensor], Tensor]


def starts(size: int, window: int, overlap: float = OVERLAP) -> list[int]:
    """First voxels of evenly spread windows; one, perhaps before 0, where the window is the larger.

    Args:
        size: Of the axis.
        window: Of the window.
        overlap: Smallest share of a window that its neighbour sees too.
    """
    if size <= window:
        return [-((window - size) // 2)]
    count = int(np.ceil((size - window) / max(window * (1 - overlap), 1))) + 1
    return [round(k * (size - window) / (count - 1)) for k in range(count)]


def gaussian(window: tuple[int, ...]) -> Tensor:
    """`window`-shaped weights, 1 in the middle, never below 0.01."""
    weights = torch.ones(window)
    for axis, size in enumerate(window):
        place = (torch.arange(size) - (size - 1) / 2) / max(size * SIGMA, 1e-6)
        weights *= torch.exp(-0.5 * place**2).view([-1 if a == axis else 1 for a in range(len(window))])
    return weights.clamp(min=0.01)


@dataclass(frozen=True)
class Chunk:
    """Finished planes.

    Attributes:
        first: Index of the first plane along the streamed axis.
        values: `(channels, ...)` the case's axes, `len` planes along the streamed one.
    """

    first: int
    values: Tensor


def stream_slices(
    image: Tensor, axis: int, window: tuple[int, ...], batch: int, predict: Predict, step: int = 1
) -> Iterator[Chunk]:
    """2-D windows, slice by slice.

    Args:
        image: `(channels, slices, rows, columns)`.
        axis: View axis, 0 to 2.
        window: Voxels along the two other axes.
        batch: Windows at once.
        predict: `(B, channels, *window)` to `(B, outputs, *window)` float32.
        step: 1 for every slice, 2 for every second from the first on, and so forth.

    Yields:
        Chunks of one or more whole slices along `axis`, counted among those that are seen.
    """
    planes = image.movedim(axis + 1, 0)[::step]  # (planes, channels, a, b)
    size = tuple(planes.shape[2:])
    places = list(product(*(starts(n, w) for n, w in zip(size, window, strict=True))))
    shares = blending(places, size, window)
    together = max(batch // len(places), 1)
    fill = float(image.min())
    for first in range(0, len(planes), together):
        group = planes[first : first + together]
        tiles = torch.stack([_cut(plane, place, window, fill) for plane in group for place in places])
        parts = [predict(part) for part in tiles.split(max(batch, 1))]
        answers = parts[0] if len(parts) == 1 else torch.cat(parts)
        answers = answers.unflatten(0, (len(group), len(places)))  # (planes, places, outputs, *window)
        values = torch.zeros((answers.shape[2], len(group), *size))
        for k, (case, own, share) in enumerate(shares):
            answer = answers[(slice(None), k, slice(None), *own)].transpose(0, 1)
            values[(slice(None), slice(None), *case)].addcmul_(answer, share)
        yield Chunk(first, values.movedim(1, axis + 1))


def _cut(plane: Tensor, place: tuple[int, ...], window: tuple[int, ...], fill: float) -> Tensor:
    """A window of `(channels, ...)`, filled where it leaves the case."""
    size = plane.shape[1:]
    parts, pads = [slice(None)], []
    for first, length, n in zip(place, window, size, strict=True):
        parts.append(slice(max(first, 0), min(first + length, n)))
        pads.append((max(-first, 0), max(first + length - n, 0)))
    cut = plane[tuple(parts)]
    if any(low or high for low, high in pads):
        flat = [v for low, high in reversed(pads) for v in (low, high)]
        cut = torch.nn.functional.pad(cut, flat, value=fill)
    return cut


def _overlap(place: tuple[int, ...], size: tuple[int, ...], window: tuple[int, ...]) -> tuple[tuple, tuple]:
    """Where a window lies in the case, and which part of the window that is."""
    case, own = [], []
    for first, n, length in zip(place, size, window, strict=True):
        low, high = max(first, 0), min(first + length, n)
        case.append(slice(low, high))
        own.append(slice(low - first, high - first))
    return tuple(case), tuple(own)


def blending(
    places: list[tuple[int, ...]], size: tuple[int, ...], window: tuple[int, ...]
) -> list[tuple[tuple, tuple, Tensor]]:
    """For each window: where it lies in the case, which part of it that is, and its share in each voxel's answer."""
    weights = gaussian(window)
    total = torch.zeros(size)
    parts = [_overlap(place, size, window) for place in places]
    for case, own in parts:
        total[case] += weights[own]
    return [(case, own, weights[own] / total[case]) for case, own in parts]


def stream_volume(image: Tensor, window: tuple[int, ...], batch: int, predict: Predict) -> Iterator[Chunk]:
    """3-D windows, visited along the rows.

    Args:
        image: `(channels, slices, rows, columns)`.
        window: Voxels along the three axes.
        batch: Windows at once.
        predict: `(B, channels, *window)` to `(B, outputs, *window)` float32.

    Yields:
        Chunks along the rows (axis 1).
    """
    size = (image.shape[1], image.shape[2], image.shape[3])
    rows = starts(size[1], window[1])
    across = list(product(starts(size[0], window[0]), starts(size[2], window[2])))
    fill, weights = float(image.min()), gaussian(window)
    total = share = None
    done = 0
    for number, row in enumerate(rows):
        places = [(a, row, b) for a, b in across]
        reach = min(row + window[1], size[1])
        for first in range(0, len(places), batch):
            group = places[first : first + batch]
            answers = predict(torch.stack([_cut(image, place, window, fill) for place in group]))
            if total is None or share is None:
                total = torch.zeros((answers.shape[1], size[0], window[1], size[2]))
                share = torch.zeros((size[0], window[1], size[2]))
            for answer, place in zip(answers, group, strict=True):
                case, own = _overlap(place, size, window)
                held = (case[0], slice(case[1].start - done, case[1].stop - done), case[2])
                total[(slice(None), *held)] += answer[(slice(None), *own)] * weights[own]
                share[held] += weights[own]
        ready = (rows[number + 1] if number + 1 < len(rows) else reach) - done
        if total is not None and share is not None and ready > 0:
            yield Chunk(done, total[:, :, :ready] / share[:, :ready])
            total = torch.cat([total[:, :, ready:], torch.zeros_like(total[:, :, :ready])], dim=2)
            share = torch.cat([share[:, ready:], torch.zeros_like(share[:, :ready])], dim=1)
            done += ready
