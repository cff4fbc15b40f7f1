"""Members' probabilities of one image, kept as far as a search for weights needs them.

Where all members answer alike, so does every blend of them: if each of them finds class k the most probable, so does a
weighted mean. Those voxels are only counted. What is stored is the rest, a few percent of an image: the soft-max of
every member, as float16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import allocate, read_json, remove, replacing, write_json, write_with
from autospine.core.serial import from_plain, to_plain
from autospine.inference.aggregator import argmax_and_max
from autospine.labels.conversion import conversion
from autospine.training.trainer import Trainer

BLOCK = 2**16  # voxels read at once: some 20 MB of four members and twenty classes
IGNORED = -1
Window = tuple[slice, ...]


@dataclass(frozen=True)
class ImageRecord:
    """What stands beside an image's stored probabilities.

    Attributes:
        name: Of the case, or of the case and its slice.
        patient: Whose it is.
        members: SHA-256 of each member's weights, in order.
        agreed: Counts of the voxels on which all members agree, by answer (rows) and reference (columns), background
            first.
    """

    name: str
    patient: str
    members: tuple[str, ...]
    agreed: tuple[tuple[int, ...], ...]


class StoredImage:
    """One image's probabilities in a folder.

    Args:
        folder: Of all images.
        name: Of the image.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.record_path = folder / f"{name}.json"
        self.values_path = folder / f"{name}.npy"
        self.reference_path = folder / f"{name}.reference.npy"

    @cached_property
    def record(self) -> ImageRecord:
        """The record; written last, so its presence means that the image is whole."""
        return from_plain(ImageRecord, read_json(self.record_path), str(self.record_path))

    def done(self, members: Sequence[str]) -> bool:
        """Whether the image is stored, of these members."""
        if not all(p.exists() for p in (self.record_path, self.values_path, self.reference_path)):
            return False
        try:
            return self.record.members == tuple(members)
        except UserError:  # damaged, or of another version: it is made again
            return False

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Disputed voxels, some at a time.

        Yields:
            `(members, classes, voxels)` float32 and `(voxels,)` int16 classes of the reference.
        """
        reference = np.load(self.reference_path, allow_pickle=False)
        for first in range(0, len(reference), BLOCK):
            part = slice(first, first + BLOCK)
            # A map of its own each time: pages that were read do not pile up in the process.
            values = np.load(self.values_path, mmap_mode="r", allow_pickle=False)
            yield np.asarray(values[:, :, part], dtype=np.float32), reference[part]

    def write(
        self,
        stored: Sequence[Path],
        reference: np.ndarray,
        window: Window,
        patient: str,
        members: Sequence[str],
    ) -> None:
        """Takes from the probabilities of whole cases what the search needs of one image.

        Args:
            stored: Of each member, .npy of `(classes, slices, rows, columns)` as `autospine_predict --probabilities`.
            reference: `(slices, rows, columns)` classes of the case, -1 where nothing counts.
            window: Where the image lies in the case.
            patient: Whose it is.
            members: SHA-256 of each member's weights.
        """
        remove(self.record_path)
        self.__dict__.pop("record", None)
        part = reference[window]
        classes = np.load(stored[0], mmap_mode="r", allow_pickle=False).shape[0]
        agreed, disputed = np.zeros((classes, classes), np.int64), np.zeros(part.shape, bool)
        for place, values in _blocks(stored, window, part.shape):
            answers, truth = [argmax_and_max(each)[0] for each in values], part[place].ravel()
            alike, known = np.all(answers == answers[0], axis=0), truth != IGNORED
            agreed += joint_counts(answers[0][alike & known], truth[alike & known], classes)
            disputed[place] = (~alike & known).reshape(part[place].shape)
        self._store(stored, window, disputed, classes)
        write_with(self.reference_path, lambda path: _save(path, part[disputed].astype(np.int16)))
        rows = tuple(tuple(int(n) for n in row) for row in agreed)
        write_json(self.record_path, to_plain(ImageRecord(self.name, patient, tuple(members), rows)))

    def _store(self, stored: Sequence[Path], window: Window, disputed: np.ndarray, classes: int) -> None:
        shape, done = (len(stored), classes, int(disputed.sum())), 0
        with replacing(self.values_path) as temporary:
            if not shape[2]:
                _save(temporary, np.zeros(shape, np.float16))
                return
            kept = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            allocate(temporary)
            for place, values in _blocks(stored, window, disputed.shape):
                chosen = values[:, :, disputed[place].ravel()]
                kept[:, :, done : done + chosen.shape[2]] = chosen
                done += chosen.shape[2]
            kept.flush()


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:  # np.save would add a suffix to the temporary file's name
        np.save(file, array, allow_pickle=False)


def _blocks(
    stored: Sequence[Path], window: Window, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, slice], np.ndarray]]:
    """Parts of an image in order: where, and `(members, classes, voxels)` float32."""
    rows = max(BLOCK // max(shape[2], 1), 1)
    for k in range(shape[0]):
        for first in range(0, shape[1], rows):
            place = (k, slice(first, first + rows))
            parts = []
            for path in stored:
                values = np.load(path, mmap_mode="r", allow_pickle=False)[(slice(None), *window)]
                parts.append(np.asarray(values[(slice(None), *place)], dtype=np.float32))
            yield place, np.stack(parts).reshape(len(parts), parts[0].shape[0], -1)


def joint_counts(answers: np.ndarray, reference: np.ndarray, classes: int) -> np.ndarray:
    """`(classes, classes)` int64: voxels by answer (rows) and reference (columns)."""
    pairs = answers.astype(np.int64) * classes + reference
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def reference_classes(mask: np.ndarray, trainer: Trainer, where: str | Path) -> np.ndarray:
    """A reference as the soft-max's classes.

    Args:
        mask: `(slices, rows, columns)` labels of the data set.
        trainer: Of a member.
        where: The file that an error names.

    Returns:
        `(slices, rows, columns)` int16, 0 for the background and what the trainer's scheme has no place for, -1 where
        nobody annotated.

    Raises:
        UserError: The mask holds a label that the plan does not know.
    """
    labels, source = trainer.reference(mask, where), trainer.prepared.scheme
    ignored = np.zeros(labels.shape, bool) if source.ignore_label is None else labels == source.ignore_label
    labels = np.where(ignored, 0, labels).astype(labels.dtype)
    if source != trainer.label_scheme:
        labels = conversion(source, trainer.label_scheme).apply(labels, where)
    encoding = trainer.encoding
    classes = encoding.class_of_index().astype(np.int16)[encoding.train_ids(labels, str(where))]
    classes[ignored] = IGNORED
    return classes
