"""Sliding-window inference: windows in batches, Gaussian weights, finished planes handed on at once.

Nothing of the size of the case times the channels is ever held: windows are visited along one axis, and the planes
that no later window touches are averaged and passed to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from torch import Tensor

OVERLAP = 1 / 4
SIGMA = 1 / 8  # of the window
Predict = Callable[[Tensor], Tensor]
Chunk = tuple[int, np.ndarray]  # index of the first plane along the streamed axis, (channels, slices, rows, columns)
Chunks = Iterator[Chunk]  # in order along the streamed axis, without gaps


def starts(size: int, window: int, overlap: float = OVERLAP) -> list[int]:
    """Return the first voxels of evenly spread windows; one, perhaps before 0, where the window is the larger.

    Args:
        size: Of the axis, in voxels.
        window: Of the window, in voxels.
        overlap: Smallest share of a window that its neighbour sees too.
    """
    if size <= window:
        return [-((window - size) // 2)]
    count = int(np.ceil((size - window) / max(window * (1 - overlap), 1))) + 1
    return [round(k * (size - window) / (count - 1)) for k in range(count)]


def gaussian(window: tuple[int, ...]) -> Tensor:
    """Return `window`-shaped weights, 1 in the centre, never below 0.01."""
    weights = torch.ones(window)
    for axis, size in enumerate(window):
        distance = (torch.arange(size) - (size - 1) / 2) / max(size * SIGMA, 1e-6)
        weights *= torch.exp(-0.5 * distance**2).view([-1 if a == axis else 1 for a in range(len(window))])
    return weights.clamp(min=0.01)


def stream_slices(
    image: Tensor, axis: int, window: tuple[int, ...], batch: int, predict: Predict, step: int = 1
) -> Chunks:
    """Predict slice by slice with 2-D windows; yield whole slices along `axis`, counted among the predicted ones.

    Args:
        image: `(channels, slices, rows, columns)`.
        axis: View axis, 0 to 2.
        window: Voxels along the two other axes.
        batch: Windows at once.
        predict: `(B, channels, *window)` to `(B, outputs, *window)` float32.
        step: 1 for every slice, 2 for every second from the first on, and so forth.
    """
    planes = image.movedim(axis + 1, 0)[::step]  # (planes, channels, a, b)
    size = tuple(planes.shape[2:])
    corners = list(product(*(starts(n, w) for n, w in zip(size, window, strict=True))))
    blending = blending_weights(corners, size, window, image.device)
    at_once = max(batch // len(corners), 1)
    fill = float(image.min())
    for first in range(0, len(planes), at_once):
        group = planes[first : first + at_once]
        tiles = torch.stack([_crop(plane, corner, window, fill) for plane in group for corner in corners])
        batches = [predict(tile_batch) for tile_batch in tiles.split(max(batch, 1))]
        outputs = batches[0] if len(batches) == 1 else torch.cat(batches)
        outputs = outputs.unflatten(0, (len(group), len(corners)))  # (planes, corners, outputs, *window)
        values = torch.zeros((outputs.shape[2], len(group), *size), device=outputs.device)
        for k, (in_case, in_window, weights) in enumerate(blending):
            tile = outputs[(slice(None), k, slice(None), *in_window)].transpose(0, 1)
            values[(slice(None), slice(None), *in_case)].addcmul_(tile, weights)
        yield first, values.cpu().movedim(1, axis + 1).numpy()


def stream_volume(image: Tensor, window: tuple[int, ...], batch: int, predict: Predict) -> Chunks:
    """Predict with 3-D windows that are visited along the rows; yield planes along the rows (axis 1).

    Args:
        image: `(channels, slices, rows, columns)`.
        window: Voxels along the three axes.
        batch: Windows at once.
        predict: `(B, channels, *window)` to `(B, outputs, *window)` float32.
    """
    size = (image.shape[1], image.shape[2], image.shape[3])
    rows = starts(size[1], window[1])
    across = list(product(starts(size[0], window[0]), starts(size[2], window[2])))
    fill, weights = float(image.min()), gaussian(window).to(image.device)
    total = weight_sum = None
    done = 0
    for number, row in enumerate(rows):
        corners = [(a, row, b) for a, b in across]
        end = min(row + window[1], size[1])
        for first in range(0, len(corners), batch):
            group = corners[first : first + batch]
            outputs = predict(torch.stack([_crop(image, corner, window, fill) for corner in group]))
            if total is None or weight_sum is None:
                total = torch.zeros((outputs.shape[1], size[0], window[1], size[2]), device=image.device)
                weight_sum = torch.zeros((size[0], window[1], size[2]), device=image.device)
            for output, corner in zip(outputs, group, strict=True):
                in_case, in_window = _overlap(corner, size, window)
                held = (in_case[0], slice(in_case[1].start - done, in_case[1].stop - done), in_case[2])
                total[(slice(None), *held)] += output[(slice(None), *in_window)] * weights[in_window]
                weight_sum[held] += weights[in_window]
        ready = (rows[number + 1] if number + 1 < len(rows) else end) - done
        if total is not None and weight_sum is not None and ready > 0:
            yield done, (total[:, :, :ready] / weight_sum[:, :ready]).cpu().numpy()
            total = torch.cat([total[:, :, ready:], torch.zeros_like(total[:, :, :ready])], dim=2)
            weight_sum = torch.cat([weight_sum[:, ready:], torch.zeros_like(weight_sum[:, :ready])], dim=1)
            done += ready


def blending_weights(
    corners: list[tuple[int, ...]], size: tuple[int, ...], window: tuple[int, ...], device: torch.device
) -> list[tuple[tuple, tuple, Tensor]]:
    """Return for each window where it lies in the case, which part of it that is, and its weight in each voxel."""
    weights = gaussian(window)
    total = torch.zeros(size)
    overlaps = [_overlap(corner, size, window) for corner in corners]
    for in_case, in_window in overlaps:
        total[in_case] += weights[in_window]
    return [(in_case, in_window, (weights[in_window] / total[in_case]).to(device)) for in_case, in_window in overlaps]


def _overlap(corner: tuple[int, ...], size: tuple[int, ...], window: tuple[int, ...]) -> tuple[tuple, tuple]:
    """Return where a window lies in the case, and which part of the window that is."""
    in_case = tuple(slice(max(c, 0), min(c + w, n)) for c, n, w in zip(corner, size, window, strict=True))
    return in_case, tuple(slice(part.start - c, part.stop - c) for part, c in zip(in_case, corner, strict=True))


def _crop(image: Tensor, corner: tuple[int, ...], window: tuple[int, ...], fill: float) -> Tensor:
    """Crop a window out of `(channels, ...)`, filled where it leaves the case."""
    box = [[first, first + length] for first, length in zip(corner, window, strict=True)]
    return crop_and_pad_nd(image, box, pad_value=fill)
