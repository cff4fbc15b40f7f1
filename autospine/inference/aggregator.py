"""Aggregation of network outputs, chunk by chunk, into labels on the input's own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from autospine.core.files import allocate, replacing
from autospine.inference.calibration import tempered
from autospine.inference.inverse import pick_slices, resize_stream
from autospine.inference.levels.decode import DecoderInput
from autospine.inference.sliding_window import Chunk, Chunks
from autospine.labels.encoding import Encoding
from autospine.preprocessing.grid import CaseGrid

SMALLEST = 1e-12  # probability that still has a logarithm
REACH = 3  # voxels: a level of the plan's grid farther away belongs to an instance that was left out


class Aggregator:
    """Classes of all voxels, and the offset votes of the few voxels that ordered labels need.

    Args:
        encoding: Meaning of the channels.
        grid: The case's way to the plan's grid.
        target: Shape of the input's grid.
        axis: Streamed axis.
        interpolated: Whether labels of interpolated slices are wanted; there are none where the input's slices were
            resampled first.
        temperature: Of the soft-max, for `confidence_of` alone.
    """

    def __init__(
        self,
        encoding: Encoding,
        grid: CaseGrid,
        target: tuple[int, ...],
        axis: int,
        interpolated: bool = False,
        temperature: float = 1.0,
    ) -> None:
        self.encoding, self.grid, self.target, self.axis = encoding, grid, target, axis
        self.temperature = temperature
        shape = grid.shape
        self.same = tuple(shape) == tuple(target)
        self.interpolated = interpolated and shape[0] > grid.resampled[0] == target[0]
        size = (shape[0], *target[1:]) if self.interpolated else target
        self.semantic = np.zeros(shape, np.uint8)  # classes on the plan's grid
        self.classes = self.semantic if self.same else np.zeros(size, np.uint8)  # on the input's rows and columns
        self.confidence = np.zeros(size, np.uint8)  # calibrated probability of the class, in 1/255; of foreground
        self.votes = [  # voxels, offsets, levels, weights
            (
                np.zeros((0, 3), np.int32),
                np.zeros((0, len(encoding.offset_axes)), np.float32),
                np.zeros((0, len(encoding.levels)), np.float16),
                np.zeros(0, np.float32),
            )
        ]

    @property
    def wanted(self) -> range:
        """Return the slices of the plan's grid that `run` needs: interpolated ones only where they count."""
        every = self.interpolated or self.encoding.ordered
        return range(self.grid.shape[0]) if every else self.grid.measured

    @property
    def measured(self) -> range:
        """Return the indices of the input's slices in `classes`."""
        return self.grid.measured if self.interpolated else range(self.target[0])

    def run(self, outputs: Chunks, probabilities: Path | None = None) -> None:
        """Take the outputs of the wanted slices, and store the classes' probabilities where a file is given.

        Raises:
            UserError: They cannot be stored.
        """
        outputs = self._collect_votes(outputs)
        if not self.interpolated and len(self.wanted) > len(self.grid.measured):
            outputs = pick_slices(outputs, self.axis, self.grid.measured)
        before = self.grid.shape if self.interpolated else self.grid.resampled
        resized = _resized(outputs, self.axis, before, self.classes.shape)
        if probabilities is None:
            self._collect_classes(resized, None)
            return
        with replacing(probabilities) as temporary:
            size = (self.encoding.semantic_channels, *self.target)
            stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=size)
            allocate(temporary)
            self._collect_classes(resized, stored)
            stored.flush()

    def _collect_classes(self, chunks: Chunks, stored: np.ndarray | None) -> None:
        for first, probabilities in chunks:
            planes = self._planes(first, probabilities.shape[self.axis + 1])
            self.classes[planes], confidence = argmax_and_max(probabilities)
            if self.temperature != 1:
                inside = self.classes[planes] > 0
                confidence[inside] = tempered(probabilities[:, inside], self.temperature).max(axis=0)
            self.confidence[planes] = np.round(confidence * 255)
            if stored is not None:
                for k, values in pick_slices([(first, probabilities)], self.axis, self.measured):
                    stored[(slice(None), *self._planes(k, values.shape[self.axis + 1]))] = values

    def _collect_votes(self, outputs: Chunks) -> Chunks:
        """Keep what ordered labels need, and pass the classes' probabilities on."""
        classes = self.encoding.semantic_channels
        for first, values in outputs:
            if self.encoding.ordered:
                self._add_votes((first, values), classes)
            yield first, values[:classes]

    def _add_votes(self, chunk: Chunk, classes: int) -> None:
        first, values = chunk
        semantic, confidence = argmax_and_max(values[:classes])
        self.semantic[self._planes(first, semantic.shape[self.axis])] = semantic
        levelled = np.array([False, *(bool(kind.levels) for kind in self.encoding.classes)])
        voxels = np.argwhere(levelled[semantic])  # (N, 3) in the chunk
        a, b, c = voxels.T
        levels = classes + len(self.encoding.offset_axes)
        picked, weights = values[:, a, b, c], confidence[a, b, c]  # (channels, N), (N,)
        offsets = (picked[classes:levels].T * self.encoding.intervertebral_distance_mm).astype(np.float32)
        voxels[:, self.axis] += first
        self.votes.append((voxels.astype(np.int32), offsets, picked[levels:].T.astype(np.float16), weights))

    def _planes(self, first: int, count: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(first, first + count),)

    def decoder_input(self, spacing: tuple[float, float, float], rows: tuple[int, int]) -> DecoderInput:
        """Return what was collected on the plan's grid.

        Args:
            spacing: mm along (slices, rows, columns) of the plan's grid.
            rows: First and last row that hold image rather than padding.
        """
        voxels, offsets, levels, weights = (np.concatenate(parts) for parts in zip(*self.votes, strict=True))
        return DecoderInput(
            semantic=self.semantic,
            voxels=voxels.astype(np.int64),
            offsets=offsets,
            levels=levels.astype(np.float32),
            weights=weights,
            spacing=spacing,
            visible_rows=rows,
        )

    def on_input_grid(self, labels: np.ndarray) -> np.ndarray:
        """Bring labels of the plan's grid to the input's: the class as interpolated, the level of the nearest instance.

        Interpolated slices are left out, and nothing is blended across them.
        """
        return labels if self.same else self._painted(labels[self.grid.measured], self.classes[self.measured])

    def with_interpolated(self, labels: np.ndarray, measured: np.ndarray) -> np.ndarray | None:
        """Bring labels of the plan's grid to the input's rows and columns, interpolated slices included.

        Args:
            labels: On the plan's grid.
            measured: What `on_input_grid` returned for them; the measured slices are exactly these.

        Returns:
            None where nobody asked for interpolated slices.
        """
        if not self.interpolated:
            return None
        interpolated_labels = self._painted(labels, self.classes).copy()
        interpolated_labels[self.measured] = measured
        return interpolated_labels

    def _painted(self, labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Paint classes with their label, ordered ones with the nearest of `labels`, whose grid may be coarser."""
        if self.encoding.ordered and labels.shape == classes.shape:
            return labels
        result = np.zeros(classes.shape, labels.dtype)
        for k, kind in enumerate(self.encoding.classes, start=1):
            inside = classes == k
            if not kind.levels:
                result[inside] = kind.values[0]
            elif inside.any():
                result[inside] = _nearest_level(labels, inside, kind.values)
        return result

    def confidence_of(self, labels: np.ndarray) -> dict[int, float]:
        """Return the mean calibrated probability of the class inside each label, 0 to 1."""
        inside = labels > 0
        values = labels[inside]  # (N,)
        counts, sums = np.bincount(values), np.bincount(values, self.confidence[self.measured][inside])
        return {int(v): float(sums[v] / counts[v] / 255) for v in np.flatnonzero(counts)}


def _nearest_level(labels: np.ndarray, inside: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """Return the nearest of some labels for each voxel of `inside`, a mask on another grid of the same extent."""
    known = np.isin(labels, values)
    if not known.any():
        return np.zeros(int(inside.sum()), labels.dtype)
    voxels = np.argwhere(inside)  # (N, 3)
    size = np.array(labels.shape)
    scale = size / np.array(inside.shape)
    points = np.clip(np.round((voxels + 0.5) * scale - 0.5).astype(int), 0, size - 1)  # (N, 3) among `labels`
    box = tuple(slice(max(v.min() - REACH, 0), v.max() + REACH + 1) for v in points.T)
    distance, nearest = ndimage.distance_transform_edt(~known[box], return_indices=True)
    points_in_box = tuple((points - np.array([part.start for part in box])).T)
    source = tuple(axis[points_in_box] + part.start for axis, part in zip(nearest, box, strict=True))
    levels = labels[source]
    levels[distance[points_in_box] > REACH] = 0
    return levels


def _resized(outputs: Chunks, axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> Chunks:
    """Bring probabilities onto another grid: their logarithms onto a finer one, so that borders lie between voxels.

    Probabilities leap from 0 to 1 at a border that the network is sure of, and linear interpolation would put it
    halfway between two voxels of a coarse grid, whatever they say; logarithms differ by logits.
    """
    if before == after or any(new < old for old, new in zip(before, after, strict=True)):
        yield from resize_stream(outputs, axis, before, after)
        return
    logarithms = ((first, np.log(np.maximum(values, SMALLEST))) for first, values in outputs)
    for first, values in resize_stream(logarithms, axis, before, after):
        probabilities = np.exp(values)
        probabilities /= probabilities.sum(axis=0)
        yield first, probabilities


def argmax_and_max(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return index (uint8) and probability of the most probable class, the first of equals: (classes, ...) to (...).

    `argmax` along the first axis takes several times as long.
    """
    best = probabilities[0].copy()
    index = np.zeros(best.shape, np.uint8)
    for k, other in enumerate(probabilities[1:], start=1):
        np.copyto(index, k, where=other > best)
        np.maximum(best, other, out=best)
    return index, best
