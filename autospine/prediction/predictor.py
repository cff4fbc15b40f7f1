"""From an image to labels on its own grid."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from autospine.files import replacing
from autospine.labels.encoding import Encoding
from autospine.levels.decode import Decoded, Evidence, decode
from autospine.model import Model
from autospine.precision import quick_precision
from autospine.prediction.back import add_streams, pick_slices, resize_stream
from autospine.prediction.group import make_groups
from autospine.preprocessing.grid import CaseGrid, case_grid
from autospine.preprocessing.normalisation import visible_rows
from autospine.preprocessing.preprocess import bring_to_grid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What was predicted of one image.

    Attributes:
        decoded: Labels on the image's own grid.
        confidence: Mean soft-max probability of each label's class, by label.
        network_seconds: Spent in networks.
    """

    decoded: Decoded
    confidence: dict[int, float]
    network_seconds: float


class Predictor:
    """One or more models of one plan, averaged by their weights.

    Args:
        models: Alike in plan and labels; patches and preprocessing steps may differ.
        device: Where.
    """

    def __init__(self, models: Sequence[Model], device: torch.device) -> None:
        card = models[0].card
        self.plan, self.encoding = card.plan, card.encoding
        self.groups = make_groups(models, device, quick_precision(device))

    def predict(
        self, image: np.ndarray, spacing: tuple[float, float, float], probabilities: Path | None = None
    ) -> Answer:
        """Segments one canonical image.

        Args:
            image: `(channels, slices, rows, columns)` float32.
            spacing: mm along (slices, rows, columns).
            probabilities: Where to store soft-max probabilities, `(classes, slices, rows, columns)` float16 .npy;
                None keeps none.

        Returns:
            Labels of shape (slices, rows, columns) in the models' scheme.
        """
        moved = bring_to_grid(image, spacing, self.plan)
        grid = case_grid(self.plan.grid, image.shape[1:], spacing)
        axis, before = self.groups[0].axis, self.network_seconds
        slabs = [group.slabs(moved, grid.spacing) for group in self.groups]
        collector = Collector(self.encoding, grid, image.shape[1:], axis)
        collector.run(slabs[0] if len(slabs) == 1 else add_streams(slabs, axis), probabilities)
        evidence = collector.evidence(grid.spacing, visible_rows(moved[0]))
        decoded = decode(evidence, self.encoding)
        labels = collector.on_input_grid(decoded.labels)
        answer = Decoded(labels, decoded.findings, decoded.ambiguous)
        return Answer(answer, collector.confidences(labels), self.network_seconds - before)

    @property
    def network_seconds(self) -> float:
        """Spent in networks so far."""
        return sum(group.seconds for group in self.groups)


class Collector:
    """Takes outputs plane by plane; keeps classes and the few voxels that chains need.

    Args:
        encoding: Which channels mean what.
        grid: The plan's, of this case.
        target: Shape of the input's grid.
        axis: Streamed axis.
    """

    def __init__(self, encoding: Encoding, grid: CaseGrid, target: tuple[int, ...], axis: int) -> None:
        self.encoding, self.axis = encoding, axis
        self.grid, self.target = grid, target
        shape = grid.shape
        self.same = tuple(shape) == tuple(target)
        self.semantic = np.zeros(shape, np.uint8)
        self.answer = self.semantic if self.same else np.zeros(target, np.uint8)
        self.certainty = np.zeros(target, np.uint8)  # of the class, in 1/255
        self.voxels: list[np.ndarray] = []
        self.offsets: list[np.ndarray] = []
        self.levels: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    def run(self, slabs: Iterator[tuple[int, np.ndarray]], store: Path | None = None) -> None:
        """Reads all slabs; stores the probabilities where `store` says."""
        measured = pick_slices(self._tee(slabs), self.axis, self.grid.measured)
        back = resize_stream(measured, self.axis, self.grid.resampled, self.target)
        if store is None:
            self._collect(back, None)
            return
        with replacing(store) as temporary:
            size = (self.encoding.semantic_channels, *self.target)
            kept = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=size)
            self._collect(back, kept)
            kept.flush()

    def _collect(self, slabs: Iterator[tuple[int, np.ndarray]], kept: np.ndarray | None) -> None:
        for first, probabilities in slabs:
            where = self._planes(first, probabilities.shape[self.axis + 1])
            self.answer[where], certainty = strongest(probabilities)
            self.certainty[where] = np.round(certainty * 255)
            if kept is not None:
                kept[(slice(None), *where)] = probabilities

    def _tee(self, slabs: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """Notes what the chains need, and passes only the classes on."""
        classes = self.encoding.semantic_channels
        for first, values in slabs:
            if self.encoding.chained:
                self._note(first, values, classes)
            yield first, values[:classes]

    def _note(self, first: int, values: np.ndarray, classes: int) -> None:
        semantic, certainty = strongest(values[:classes])
        self.semantic[self._planes(first, semantic.shape[self.axis])] = semantic
        chained = np.array([False, *(each.chained for each in self.encoding.classes)])
        voxels = np.argwhere(chained[semantic])  # (N, 3) in the slab
        a, b, c = voxels.T
        last = classes + len(self.encoding.offset_axes)
        picked = values[:, a, b, c]  # (channels, N)
        self.offsets.append((picked[classes:last].T * self.encoding.pitch_mm).astype(np.float32))
        self.levels.append(picked[last:].T.astype(np.float16))
        self.weights.append(certainty[a, b, c])
        voxels[:, self.axis] += first
        self.voxels.append(voxels.astype(np.int32))

    def _planes(self, first: int, count: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(first, first + count),)

    def evidence(self, spacing: tuple[float, float, float], rows: tuple[int, int]) -> Evidence:
        """What was collected, on the plan's grid."""

        def joined(parts: list[np.ndarray], width: int) -> np.ndarray:
            return np.concatenate(parts) if parts else np.zeros((0, width), np.float32)

        semantic = (
            self.semantic if self.encoding.chained or self.same else np.zeros(self.grid.shape, np.uint8)
        )
        weights = np.concatenate(self.weights) if self.weights else np.zeros(0, np.float32)
        return Evidence(
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

        Rebuilt slices have no place there: the measured ones are picked, and nothing is blended across them.
        """
        if self.same:
            return labels
        labels = labels[self.grid.measured]
        if self.encoding.chained and labels.shape == tuple(self.target):
            return labels
        result = np.zeros(self.target, labels.dtype)
        for k, each in enumerate(self.encoding.classes, start=1):
            mine = self.answer == k
            if not each.chained:
                result[mine] = each.values[0]
            elif mine.any():
                result[mine] = self._nearest_level(labels, mine, each.values)
        return result

    def _nearest_level(self, labels: np.ndarray, mine: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
        from scipy import ndimage

        known = np.isin(labels, values)
        if not known.any():
            return np.zeros(int(mine.sum()), labels.dtype)
        voxels = np.argwhere(mine)  # (N, 3)
        size = np.array(labels.shape)
        scale = size / np.array(self.target)
        places = np.clip(np.round((voxels + 0.5) * scale - 0.5).astype(int), 0, size - 1)
        box = tuple(slice(max(v.min() - 3, 0), v.max() + 4) for v in places.T)
        distance, nearest = ndimage.distance_transform_edt(~known[box], return_indices=True)
        inner = tuple((places - np.array([part.start for part in box])).T)
        source = tuple(axis[inner] + part.start for axis, part in zip(nearest, box, strict=True))
        found = labels[source]
        found[distance[inner] > 3] = 0  # belongs to an instance that was left out
        return found

    def confidences(self, labels: np.ndarray) -> dict[int, float]:
        """Mean certainty of the class inside each label, 0 to 1."""
        inside = labels > 0
        found = labels[inside]  # (N,)
        counts, sums = np.bincount(found), np.bincount(found, self.certainty[inside])
        return {int(v): float(sums[v] / counts[v] / 255) for v in np.flatnonzero(counts)}


def strongest(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
