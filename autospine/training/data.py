"""Batches that are a pure function of (seed, step), so that a continued training sees the same ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from torch import Tensor

from autospine.core.errors import UserError
from autospine.core.parallel import depend_on_parent
from autospine.core.transfer import send
from autospine.dataset.cases import listed
from autospine.labels.conversion import conversion
from autospine.labels.encoding import Encoding
from autospine.labels.schemes import LabelScheme
from autospine.planning.plan import Plan
from autospine.preprocessing.storage import CaseStore, LabelRecord

Loader = Literal["auto", "memory", "threads", "processes"]  # what may be asked for, see `loading.make_batches`
Patch = tuple[int, tuple[int, int, int]]  # index of a case, and the patch's first voxel in it
FIELDS = ("images", "labels", "centres", "through_plane_offset_mm", "spacing")  # of a batch


@dataclass(frozen=True)
class Batch:
    """What a training step sees."""

    images: Tensor  # `(B, channels, *patch)` float32
    labels: Tensor  # `(B, *patch)` uint8 or int16 train ids of the encoding
    centres: Tensor  # `(B, train ids, dims)` float32, centre of each label in voxels of the patch, NaN if unknown
    through_plane_offset_mm: Tensor  # `(B, train ids)` float32, slice to centre along the view axis, 0 in 3-D
    spacing: Tensor  # `(B, dims)` float32, mm
    in_plane_mm: tuple[float, float] | None = None  # mean of the last two, read before the batch left the host

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        tensors = {name: send(getattr(self, name), device) for name in FIELDS}
        return replace(self, **tensors, in_plane_mm=self.pixel_spacing)

    @property
    def pixel_spacing(self) -> tuple[float, float]:
        """Return the mean mm of rows and columns; reading them from a device would wait for all of its work."""
        rows, columns = self.in_plane_mm or self.spacing[:, -2:].mean(0).tolist()
        return rows, columns

    def pinned(self) -> Batch:
        """Return the batch in memory from which a device copies by itself."""
        tensors = {name: getattr(self, name).pin_memory() for name in FIELDS}
        return replace(self, **tensors, in_plane_mm=self.pixel_spacing)

    def patches(self, first: int, last: int) -> Batch:
        """Return the patches `first` to `last - 1`."""
        return replace(self, **{name: getattr(self, name)[first:last] for name in FIELDS})

    def split(self, count: int) -> Iterator[Batch]:
        """Yield `count` micro-batches, in order and as even as can be; none is empty."""
        total = len(self.images)
        edges = [total * k // count for k in range(count + 1)]
        for first, last in pairwise(edges):
            if first < last:
                yield self.patches(first, last)

    def like(self, count: int, patch: tuple[int, ...]) -> Batch:
        """Return `count` of its patches on another number of voxels, as roughly as timing an update needs."""
        index = torch.arange(count, device=self.images.device) % len(self.images)
        picked = Batch(*(getattr(self, name)[index] for name in FIELDS))
        images = F.interpolate(picked.images, patch)
        labels = F.interpolate(picked.labels[:, None].float(), patch)[:, 0].to(self.labels.dtype)
        sizes = zip(patch, self.labels.shape[1:], strict=True)
        factors = torch.tensor([new / old for new, old in sizes], device=self.images.device)
        return Batch(images, labels, picked.centres * factors, picked.through_plane_offset_mm, picked.spacing / factors)

    def with_images(self, images: Tensor, labels: Tensor, centres: Tensor) -> Batch:
        """Return the batch after augmentation."""
        return replace(self, images=images, labels=labels, centres=centres)


@dataclass(frozen=True)
class Sample:
    """One patch, as arrays without the batch axis."""

    image: np.ndarray
    labels: np.ndarray
    centres: np.ndarray
    through_plane_offset_mm: np.ndarray
    spacing: np.ndarray


class PatchSampler:
    """Draws patches from preprocessed cases.

    Args:
        folder: Where the cases lie.
        ids: Which of them.
        plan: View and channels.
        scheme: The labels that are learnt; those of the stored masks are converted to it.
        encoding: Train ids of labels.
        patch: Voxels along the network's axes.
        foreground_oversampling: Share of patches sampled around a label.
        slices: Slices along the view axis to draw from, by case id; None for all that the preprocessing left.
        stored: The labels of the stored masks; None for the data set's own.

    Raises:
        UserError: Not one slice is left to draw from.
    """

    def __init__(
        self,
        folder: str | Path,
        ids: Sequence[str],
        plan: Plan,
        scheme: LabelScheme,
        encoding: Encoding,
        patch: tuple[int, ...],
        foreground_oversampling: float,
        slices: Mapping[str, Sequence[int]] | None = None,
        stored: LabelScheme | None = None,
    ) -> None:
        self.plan, self.encoding, self.slices = plan, encoding, slices
        self.foreground_oversampling = foreground_oversampling
        stores = [CaseStore(folder, case_id) for case_id in ids]
        self.stores = [store for store in stores if self._allowed(store)]
        if stores and not self.stores:
            raise UserError(
                f"all slices of {listed(ids)}",
                "are left out by the recipe's slice filter",
                "use another recipe, or cases that show every class",
            )
        self.axes = plan.network_axes
        self.size = dict(zip(self.axes, patch, strict=True))
        stored = stored or plan.scheme
        self.conversion = conversion(stored, scheme) if scheme != stored else None
        self.labels = [self._labels_of(store) for store in self.stores]
        self.sources = _Sources()
        self.weigh_sources({})

    def weigh_sources(self, weights: Mapping[str, float]) -> None:
        """Sample each of several data sets as often as its weight says; those that are not named have 1."""
        self.sources = _sources([store.record.source for store in self.stores], weights)

    def _labels_of(self, store: CaseStore) -> tuple[LabelRecord, ...]:
        """Return the labels of a case that are learnt, in the scheme that is learnt."""
        table = self.conversion.table if self.conversion else {v: v for v in self.encoding.labels}
        converted = (replace(r, value=table.get(r.value, 0)) for r in store.record.labels)
        return tuple(record for record in converted if record.value in self.encoding.labels)

    def slices_of(self, index: int) -> Sequence[int]:
        """Return the slices of a case that may be sampled."""
        return self._allowed(self.stores[index])

    def _allowed(self, store: CaseStore) -> Sequence[int]:
        if self.plan.view_axis is None:
            return range(1)
        if self.slices is not None:
            return self.slices[store.id]
        record = store.record
        return record.slices if record.slices is not None else range(record.shape[self.plan.view_axis])

    def absent_classes(self) -> tuple[int, ...]:
        """Return the labels to be learnt that no case shows."""
        shown = {record.value for labels in self.labels for record in labels}
        for merged in self.encoding.merged:
            if merged.value in shown and merged.level is not None:
                implied = (self.encoding.value_at(k, merged.level) for k in merged.classes)
                shown |= {value for value in implied if value is not None}
        return tuple(value for value in self.encoding.values if value not in shown)

    def unlabelled_cases(self) -> tuple[str, ...]:
        """Return the cases that show none of the labels to be learnt."""
        return tuple(store.id for store, labels in zip(self.stores, self.labels, strict=True) if not labels)

    def pass_length(self) -> int:
        """Count the slices, or volumes, in one pass over the cases."""
        return sum(len(self.slices_of(index)) for index in range(len(self.stores)))

    def class_counts(self) -> np.ndarray:
        """Count the `(classes,)` voxels of each class, background first, on all slices that may be sampled."""
        class_of = self.encoding.class_of_index()
        counts = np.zeros(self.encoding.semantic_channels, np.int64)
        for index, store in enumerate(self.stores):
            mask = np.asarray(store.mask[:])
            if self.plan.view_axis is not None:
                mask = mask.take(self.slices_of(index), axis=self.plan.view_axis)
            voxels = np.bincount(self._train_ids(mask, store).ravel(), minlength=len(class_of))
            np.add.at(counts, class_of[class_of >= 0], voxels[class_of >= 0])
        return counts

    def _train_ids(self, mask: np.ndarray, store: CaseStore) -> np.ndarray:
        """Convert labels of the stored mask to the train ids of what is learnt."""
        if self.conversion:
            mask = self.conversion.apply(mask, store.id)
        return self.encoding.train_ids(mask, store.id, store.record.source)

    def sample_patch(self, generator: np.random.Generator) -> Patch:
        """Sample where one patch lies."""
        cases = self.sources.sample(generator)
        index = int(generator.integers(len(self.stores))) if cases is None else int(generator.choice(cases))
        labels = self.labels[index]
        wanted = None
        if labels and generator.random() < self.foreground_oversampling:
            wanted = labels[int(generator.integers(len(labels)))]
        return index, self._start(index, wanted, generator)

    def _start(self, index: int, wanted: LabelRecord | None, generator: np.random.Generator) -> tuple[int, int, int]:
        """Sample the first voxel of the patch; it may lie outside where the patch is larger than the case."""
        shape = self.stores[index].record.shape
        start = [0, 0, 0]
        for axis in range(3):
            if axis == self.plan.view_axis:
                start[axis] = self._slice(index, wanted, generator)
                continue
            size, free = self.size[axis], shape[axis] - self.size[axis]
            if free <= 0:
                start[axis] = free // 2
            elif wanted is None:
                start[axis] = int(generator.integers(free + 1))
            else:
                centre = wanted.centroid[axis] + generator.uniform(-0.3, 0.3) * size
                start[axis] = int(np.clip(round(centre - size / 2), 0, free))
        return (start[0], start[1], start[2])

    def _slice(self, index: int, wanted: LabelRecord | None, generator: np.random.Generator) -> int:
        axis = self.plan.view_axis or 0
        allowed = np.asarray(self.slices_of(index))
        if wanted is not None:
            shown = allowed[(allowed >= wanted.low[axis]) & (allowed <= wanted.high[axis])]
            allowed = shown if len(shown) else allowed
        return int(allowed[int(generator.integers(len(allowed)))])

    def holds_images(self) -> bool:
        """Return whether a patch holds every slice, or volume, whole, so that each has but one."""
        sizes = self.size.items()
        return all(store.record.shape[axis] <= size for store in self.stores for axis, size in sizes)

    def centre_patch(self, index: int, number: int) -> Patch:
        """Return the patch about the middle of one slice of a case; of a volume, whose number is 0."""
        shape = self.stores[index].record.shape
        first, second, third = (
            (shape[axis] - self.size[axis]) // 2 if axis in self.size else number for axis in range(3)
        )
        return index, (first, second, third)

    def extract_patch(self, index: int, start: tuple[int, int, int]) -> Sample:
        """Extract the patch that begins at `start`, padded where it leaves the case."""
        box, inside = self.box(index, start)
        image, labels = self.read(index, inside)
        box = [[low - side.start, high - side.start] for (low, high), side in zip(box, inside, strict=True)]
        image = crop_and_pad_nd(image.astype(np.float32), box, float(image.min()))
        labels = crop_and_pad_nd(labels, box, self.encoding.ignore_index)
        if self.plan.view_axis is not None:
            image, labels = image.squeeze(self.plan.view_axis + 1), labels.squeeze(self.plan.view_axis)
        return Sample(image, labels, *self.geometry(index, start))

    def box(self, index: int, start: tuple[int, int, int]) -> tuple[list[list[int]], tuple[slice, ...]]:
        """Return first and end of a patch along each axis, and which part of them lies inside the case."""
        box = [[first, first + self.size.get(axis, 1)] for axis, first in enumerate(start)]
        shape = self.stores[index].record.shape
        return box, tuple(slice(max(low, 0), min(high, n)) for (low, high), n in zip(box, shape, strict=True))

    def read(self, index: int, inside: tuple[slice, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Read a part of a case: `(channels, slices, rows, columns)` float16, and its train ids without channels."""
        store = self.stores[index]
        labels = self._train_ids(np.asarray(store.mask[inside]), store)
        self._ignore_above(labels, index, inside[1].start or 0)
        return np.asarray(store.image[(slice(None), *inside)]), labels

    def geometry(self, index: int, start: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the centres, the offsets through the plane and the spacing of a patch, as a batch has them."""
        spacing = np.array([self.stores[index].record.spacing[axis] for axis in self.axes], np.float32)
        return *self._centres(index, start), spacing

    def _ignore_above(self, labels: np.ndarray, index: int, first_row: int) -> None:
        """Mark what lies above the topmost label as not annotated."""
        source = self.stores[index].record.source
        if not self.encoding.stops_early(source) or not self.labels[index]:
            return
        top = min(record.low[1] for record in self.labels[index]) - first_row
        if top > 0:
            above = labels[:, :top]
            above[above == self.encoding.background_of(source)] = self.encoding.ignore_index

    def _centres(self, index: int, start: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        centres = np.full((self.encoding.train_id_count, len(self.axes)), np.nan, np.float32)
        through_plane_offset_mm = np.zeros(self.encoding.train_id_count, np.float32)
        rows, elsewhere = self.encoding.id_of_label(), self.encoding.centred_elsewhere()
        spacing = self.stores[index].record.spacing
        for record in self.labels[index]:
            k, centre = rows[record.value], record.body if record.value in elsewhere else record.centroid
            if centre is None:
                continue
            centres[k] = [centre[axis] - start[axis] for axis in self.axes]
            if self.plan.view_axis is not None:
                axis = self.plan.view_axis
                through_plane_offset_mm[k] = (centre[axis] - start[axis]) * spacing[axis]
        return centres, through_plane_offset_mm


@dataclass(frozen=True)
class _Sources:
    """Indices of the cases of each data set, and how often it is sampled; none where there is but one."""

    cases: tuple[np.ndarray, ...] = ()
    shares: tuple[float, ...] = ()

    def sample(self, generator: np.random.Generator) -> np.ndarray | None:
        """Choose a data set; None where there is but one."""
        return self.cases[int(generator.choice(len(self.cases), p=self.shares))] if self.cases else None


def _sources(names: Sequence[str], weights: Mapping[str, float]) -> _Sources:
    """Group cases by the data set of each; those with a weight of 0 are not sampled."""
    weighed = {name: weights.get(name, 1.0) for name in dict.fromkeys(names)}
    total = sum(weighed.values())
    if len(weighed) < 2 or not total:
        return _Sources()
    cases = tuple(np.array([k for k, own in enumerate(names) if own == name]) for name in weighed)
    return _Sources(cases, tuple(weight / total for weight in weighed.values()))


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples."""

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))

    return Batch(stack("image"), stack("labels"), stack("centres"), stack("through_plane_offset_mm"), stack("spacing"))


class Batches:
    """Batches by step number, made ahead in threads or processes.

    Args:
        sampler: Where patches come from.
        size: Patches per batch.
        seed: With the step, decides everything.
        rank: Process of a distributed training; each samples its own.
        workers: How many batches are made at once.
        loader: "processes", or any other word for threads of this one; the batches are the same.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        size: int,
        seed: int,
        rank: int = 0,
        workers: int = 2,
        loader: Loader = "threads",
    ) -> None:
        self.sampler, self.size, self.seed, self.rank = sampler, size, seed, rank
        self.workers, self.loader = workers, loader

    def make(self, step: int) -> Batch:
        """Make the batch of a step."""
        generator = np.random.default_rng([self.seed, step, self.rank])
        return self.batch_of([self.sampler.sample_patch(generator) for _ in range(self.size)])

    def batch_of(self, patches: Sequence[Patch]) -> Batch:
        """Make the batch of some patches."""
        return collate([self.sampler.extract_patch(*patch) for patch in patches])

    def with_seed(self, seed: int) -> Batches:
        """Return other batches of the same cases."""
        other = copy(self)
        other.seed = seed
        return other

    def iterate(self, first: int, last: int) -> Iterator[Batch]:
        """Make the batches of the steps `first` to `last - 1`, ahead of their use.

        Raises:
            UserError: A worker process ended.
        """
        with self._workers() as pool:
            try:
                waiting = deque(self._submit(pool, step) for step in range(first, min(first + self.workers + 1, last)))
                for step in range(first + self.workers + 1, last + self.workers + 1):
                    made = waiting.popleft().result()
                    if step < last:
                        waiting.append(self._submit(pool, step))
                    yield made if isinstance(made, Batch) else _as_batch(made)
            except BrokenExecutor as error:
                hint = "use --loader threads, which makes the same batches"
                raise UserError("--loader processes", "a worker process ended, as shown above", hint) from error
            finally:
                pool.shutdown(cancel_futures=True)

    def _workers(self) -> Executor:
        if self.loader == "processes":
            # Not forked: a child of a process that uses CUDA could not use it, and threads may hold locks.
            return ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_begin_worker, initargs=(self,))
        return ThreadPoolExecutor(self.workers)

    def _submit(self, pool: Executor, step: int) -> Future[Any]:
        return pool.submit(_make_in_worker, step) if self.loader == "processes" else pool.submit(self.make, step)


def _begin_worker(batches: Batches) -> None:
    """Keep what a worker process makes batches of."""
    depend_on_parent()
    torch.set_num_threads(1)
    _OF_WORKER.append(batches)


def _make_in_worker(step: int) -> list[np.ndarray]:
    batch = _OF_WORKER[0].make(step)
    return [getattr(batch, name).numpy() for name in FIELDS]  # copied, not shared by file descriptors


def _as_batch(arrays: list[np.ndarray]) -> Batch:
    images, labels, centres, offsets, spacing = map(torch.from_numpy, arrays)
    return Batch(images, labels, centres, offsets, spacing)


_OF_WORKER: list[Batches] = []  # of this process, if it is a worker
