"""What networks say of a case, taken chunk by chunk and turned into labels on the input's own grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autospine.core.files import allocate, replacing
from autospine.inference.back import pick_slices, resize_stream
from autospine.inference.levels.decode import DecoderInput
from autospine.labels.encoding import Encoding
from autospine.preprocessing.grid import CaseGrid


class Aggregator:
    """Takes outputs plane by plane; keeps classes and the few voxels that chains need.

    Args:
        encoding: Which channels mean what.
        grid: The plan's, of this case.
        target: Shape of the input's grid.
        axis: Streamed axis.
        stack: Whether interpolated slices are asked for, too; none are where the input's slices were resampled first.
    """

    def __init__(
        self, encoding: Encoding, grid: CaseGrid, target: tuple[int, ...], axis: int, stack: bool = False
    ) -> None:
        self.encoding, self.axis = encoding, axis
        self.grid, self.target = grid, target
        shape = grid.shape
        self.same = tuple(shape) == tuple(target)
        self.stacked = stack and shape[0] > grid.resampled[0] == target[0]
        size = (shape[0], *target[1:]) if self.stacked else target
        self.semantic = np.zeros(shape, np.uint8)
        self.answer = self.semantic if self.same else np.zeros(size, np.uint8)
        self.confidence = np.zeros(size, np.uint8)  # of the class, in 1/255
        self.voxels: list[np.ndarray] = []
        self.offsets: list[np.ndarray] = []
        self.levels: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    @property
    def wanted(self) -> range:
        """Slices of the plan's grid that `run` has to be given: interpolated ones only where they count."""
        every = self.stacked or self.encoding.ordered
        return range(self.grid.shape[0]) if every else self.grid.measured

    @property
    def measured(self) -> range:
        """Where the input's slices lie in `answer`."""
        return self.grid.measured if self.stacked else range(self.target[0])

    def run(self, chunks: Iterator[tuple[int, np.ndarray]], store: Path | None = None) -> None:
        """Reads the chunks of the wanted slices; stores the probabilities where `store` says.

        Raises:
            UserError: They cannot be stored.
        """
        chunks = self._tee(chunks)
        if not self.stacked and len(self.wanted) > len(self.grid.measured):
            chunks = pick_slices(chunks, self.axis, self.grid.measured)
        before = self.grid.shape if self.stacked else self.grid.resampled
        back = resize_stream(chunks, self.axis, before, self.answer.shape)
        if store is None:
            self._collect(back, None)
            return
        with replacing(store) as temporary:
            size = (self.encoding.semantic_channels, *self.target)
            kept = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=size)
            allocate(temporary)
            self._collect(back, kept)
            kept.flush()

    def _collect(self, chunks: Iterator[tuple[int, np.ndarray]], kept: np.ndarray | None) -> None:
        for first, probabilities in chunks:
            where = self._planes(first, probabilities.shape[self.axis + 1])
            self.answer[where], confidence = argmax_and_max(probabilities)
            self.confidence[where] = np.round(confidence * 255)
            if kept is not None:
                for place, values in pick_slices([(first, probabilities)], self.axis, self.measured):
                    kept[(slice(None), *self._planes(place, values.shape[self.axis + 1]))] = values

    def _tee(self, chunks: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """Notes what the chains need, and passes only the classes on."""
        classes = self.encoding.semantic_channels
        for first, values in chunks:
            if self.encoding.ordered:
                self._note(first, values, classes)
            yield first, values[:classes]

    def _note(self, first: int, values: np.ndarray, classes: int) -> None:
        semantic, confidence = argmax_and_max(values[:classes])
        self.semantic[self._planes(first, semantic.shape[self.axis])] = semantic
        ordered = np.array([False, *(each.ordered for each in self.encoding.classes)])
        voxels = np.argwhere(ordered[semantic])  # (N, 3) in the chunk
        a, b, c = voxels.T
        last = classes + len(self.encoding.offset_axes)
        picked = values[:, a, b, c]  # (channels, N)
        self.offsets.append((picked[classes:last].T * self.encoding.intervertebral_distance_mm).astype(np.float32))
        self.levels.append(picked[last:].T.astype(np.float16))
        self.weights.append(confidence[a, b, c])
        voxels[:, self.axis] += first
        self.voxels.append(voxels.astype(np.int32))

    def _planes(self, first: int, count: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(first, first + count),)

    def evidence(self, spacing: tuple[float, float, float], rows: tuple[int, int]) -> DecoderInput:
        """What was collected, on the plan's grid."""

        def joined(parts: list[np.ndarray], width: int) -> np.ndarray:
            return np.concatenate(parts) if parts else np.zeros((0, width), np.float32)

        semantic = self.semantic if self.encoding.ordered or self.same else np.zeros(self.grid.shape, np.uint8)
        weights = np.concatenate(self.weights) if self.weights else np.zeros(0, np.float32)
        return DecoderInput(
            semantic=semantic,
            voxels=joined(self.voxels, 3).astype(np.int64),
            offsets=joined(self.offsets, len(self.encoding.offset_axes)),
            levels=joined(self.levels, len(self.encoding.levels)).astype(np.float32),
            weights=weights,
            spacing=spacing,
            visible_rows=rows,
        )

    def on_input_grid(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the plan's grid, on the input's: the class as interpolated, the level of the nearest instance.

        Interpolated slices have no place there: the measured ones are picked, and nothing is blended across them.
        """
        if self.same:
            return labels
        return self._painted(labels[self.grid.measured], self.answer[self.measured])

    def with_interpolated_slices(self, labels: np.ndarray, own: np.ndarray) -> np.ndarray | None:
        """Labels of the plan's grid, on all its slices and the input's rows and columns.

        Args:
            labels: Of the plan's grid.
            own: What `on_input_grid` made of them: measured slices are exactly these.

        Returns:
            None where nobody asked for interpolated slices.
        """
        if not self.stacked:
            return None
        stack = self._painted(labels, self.answer).copy()
        stack[self.measured] = own
        return stack

    def _painted(self, labels: np.ndarray, answer: np.ndarray) -> np.ndarray:
        """Each class of `answer` in its label, chains in the nearest of `labels`, which may lie on a coarser grid."""
        if self.encoding.ordered and labels.shape == answer.shape:
            return labels
        result = np.zeros(answer.shape, labels.dtype)
        for k, each in enumerate(self.encoding.classes, start=1):
            mine = answer == k
            if not each.ordered:
                result[mine] = each.values[0]
            elif mine.any():
                result[mine] = _nearest_level(labels, mine, each.values)
        return result

    def confidences(self, labels: np.ndarray) -> dict[int, float]:
        """Mean certainty of the class inside each label, 0 to 1."""
        inside = labels > 0
        found = labels[inside]  # (N,)
        counts, sums = np.bincount(found), np.bincount(found, self.confidence[self.measured][inside])
        return {int(v): float(sums[v] / counts[v] / 255) for v in np.flatnonzero(counts)}


def _nearest_level(labels: np.ndarray, mine: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """For each voxel of `mine`, the nearest of some labels on another grid of the same extent."""
    from scipy import ndimage

    known = np.isin(labels, values)
    if not known.any():
        return np.zeros(int(mine.sum()), labels.dtype)
    voxels = np.argwhere(mine)  # (N, 3)
    size = np.array(labels.shape)
    scale = size / np.array(mine.shape)
    places = np.clip(np.round((voxels + 0.5) * scale - 0.5).astype(int), 0, size - 1)
    box = tuple(slice(max(v.min() - 3, 0), v.max() + 4) for v in places.T)
    distance, nearest = ndimage.distance_transform_edt(~known[box], return_indices=True)
    inner = tuple((places - np.array([part.start for part in box])).T)
    source = tuple(axis[inner] + part.start for axis, part in zip(nearest, box, strict=True))
    found = labels[source]
    found[distance[inner] > 3] = 0  # belongs to an instance that was left out
    return found


def argmax_and_max(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each voxel, the first of equals.

    `argmax` along the first axis takes several times as long.

    Args:
        probabilities: `(classes, ...)` float32.

    Returns:
        Its index (uint8) and its probability, both `(...)`.
    """
    best = probabilities[0].copy()
    index = np.zeros(best.shape, np.uint8)
    for k, other in enumerate(probabilities[1:], start=1):
        np.copyto(index, k, where=other > best)
        np.maximum(best, other, out=best)
    return index, best
