"""Members' probabilities of one image, stored as far as a search for weights needs them.

Where all members predict the same class, so does every blend of them: if each of them finds class k the most probable,
so does a weighted mean. Those voxels are only counted. What is stored is the rest, a few percent of an image: the
soft-max of every member, as float16.
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
from autospine.training.calibration import reference_ids
from autospine.training.trainer import Trainer

BLOCK = 2**16  # voxels read at once: some 20 MB of four members and twenty classes
IGNORED = -1
Window = tuple[slice, ...]


@dataclass(frozen=True)
class ImageRecord:
    """What stands beside an image's stored probabilities."""

    name: str  # of the case, or of the case and its slice
    patient: str  # the image's patient
    members: tuple[str, ...]  # SHA-256 of each member's weights, in order
    # Counts of the voxels on which all members agree, by prediction (rows) and reference (columns), background first.
    agreed: tuple[tuple[int, ...], ...]


class StoredImage:
    """Files of one image's probabilities."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.record_path = folder / f"{name}.json"
        self.values_path = folder / f"{name}.npy"
        self.reference_path = folder / f"{name}.reference.npy"

    @cached_property
    def record(self) -> ImageRecord:
        """Read the record; it is written last, so its presence means that the image is whole."""
        return from_plain(ImageRecord, read_json(self.record_path), str(self.record_path))

    def done(self, members: Sequence[str]) -> bool:
        """Tell whether the image is stored for these members."""
        if not all(path.exists() for path in (self.record_path, self.values_path, self.reference_path)):
            return False
        try:
            return self.record.members == tuple(members)
        except UserError:  # damaged, or of another version: it is made again
            return False

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the disputed voxels, some at a time.

        Yields:
            `(members, classes, voxels)` float32 and `(voxels,)` int16 classes of the reference.
        """
        reference = np.load(self.reference_path, allow_pickle=False)
        for first in range(0, len(reference), BLOCK):
            block = slice(first, first + BLOCK)
            # A map of its own each time: pages that were read do not pile up in the process.
            values = np.load(self.values_path, mmap_mode="r", allow_pickle=False)
            yield np.asarray(values[:, :, block], dtype=np.float32), reference[block]

    def write(
        self,
        stored: Sequence[Path],
        reference: np.ndarray,
        window: Window,
        patient: str,
        members: Sequence[str],
    ) -> None:
        """Store what the search needs of one image.

        Args:
            stored: Of each member, .npy of `(classes, slices, rows, columns)` as `autospine_predict --probabilities`.
            reference: `(slices, rows, columns)` classes of the case, -1 where nothing counts.
            window: Of the image in the case.
            patient: The image's patient.
            members: SHA-256 of each member's weights.
        """
        remove(self.record_path)
        self.__dict__.pop("record", None)
        truth = reference[window]
        classes = np.load(stored[0], mmap_mode="r", allow_pickle=False).shape[0]
        agreed, disputed = np.zeros((classes, classes), np.int64), np.zeros(truth.shape, bool)
        for block, values in _blocks(stored, window, truth.shape):
            predictions, labels = [argmax_and_max(member)[0] for member in values], truth[block].ravel()
            alike, known = np.all(predictions == predictions[0], axis=0), labels != IGNORED
            agreed += joint_counts(predictions[0][alike & known], labels[alike & known], classes)
            disputed[block] = (~alike & known).reshape(truth[block].shape)
        self._store(stored, window, disputed, classes)
        write_with(self.reference_path, lambda path: _save(path, truth[disputed].astype(np.int16)))
        rows = tuple(tuple(int(n) for n in row) for row in agreed)
        write_json(self.record_path, to_plain(ImageRecord(self.name, patient, tuple(members), rows)))

    def _store(self, stored: Sequence[Path], window: Window, disputed: np.ndarray, classes: int) -> None:
        shape, done = (len(stored), classes, int(disputed.sum())), 0
        with replacing(self.values_path) as temporary:
            if not shape[2]:
                _save(temporary, np.zeros(shape, np.float16))
                return
            output = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            allocate(temporary)
            for block, values in _blocks(stored, window, disputed.shape):
                chosen = values[:, :, disputed[block].ravel()]
                output[:, :, done : done + chosen.shape[2]] = chosen
                done += chosen.shape[2]
            output.flush()


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:  # np.save would add a suffix to the temporary file's name
        np.save(file, array, allow_pickle=False)


def _blocks(
    stored: Sequence[Path], window: Window, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, slice], np.ndarray]]:
    """Yield blocks of an image in order: its index, and `(members, classes, voxels)` float32."""
    rows = max(BLOCK // max(shape[2], 1), 1)
    for k in range(shape[0]):
        for first in range(0, shape[1], rows):
            block = (k, slice(first, first + rows))
            members = []
            for path in stored:
                values = np.load(path, mmap_mode="r", allow_pickle=False)[(slice(None), *window)]
                members.append(np.asarray(values[(slice(None), *block)], dtype=np.float32))
            yield block, np.stack(members).reshape(len(members), members[0].shape[0], -1)


def joint_counts(prediction: np.ndarray, reference: np.ndarray, classes: int) -> np.ndarray:
    """Count voxels by prediction (rows) and reference (columns), `(classes, classes)` int64."""
    pairs = prediction.astype(np.int64) * classes + reference
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def reference_classes(mask: np.ndarray, trainer: Trainer, where: str | Path, data_set: str = "") -> np.ndarray:
    """Convert `(slices, rows, columns)` labels of the data set to the classes of the soft-max.

    Args:
        mask: In the plan's scheme.
        trainer: Of the members.
        where: The file that an error names.
        data_set: Whose mask it is, of several that were joined.

    Returns:
        `(slices, rows, columns)` int16, 0 for the background and labels that the trainer's scheme lacks, -1 where
        nobody annotated.

    Raises:
        UserError: The mask holds a label that the plan does not know.
    """
    classes = trainer.encoding.class_of_index().astype(np.int16)  # -1 for the ignored train id
    return classes[reference_ids(mask, trainer, where, data_set)]
