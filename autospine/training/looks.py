"""The looks at the network after each epoch: which patches are scored, and how long that takes."""

from __future__ import annotations

from collections.abc import Iterator

from autospine.training.data import Batch, Batches, collate

VALIDATION_BATCHES, TRAINING_BATCHES = 6, 3  # scored after each epoch
AROUND_FORWARD = 1.3  # of a forward pass of prediction, what is done before and after it included
SECONDS_PER_EPOCH = 0.4  # writing metrics.csv and drawing the pictures


def validation_seconds(patches: int, forward: float) -> float:
    """Predicted time of what follows an epoch, if a forward pass of one patch takes `forward` seconds."""
    return patches * forward * AROUND_FORWARD + SECONDS_PER_EPOCH


def validation_patches(training: Batches, validation: Batches) -> int:
    """Patches that are scored after each epoch, of both sides."""
    sides = ((validation, VALIDATION_BATCHES), (training, TRAINING_BATCHES))
    return sum(len(_images(side, count)) or count * side.size for side, count in sides)


def fixed_batches(batches: Batches, count: int) -> Iterator[Batch]:
    """The same `count` batches whenever asked; each image once where that is fewer, since a patch holds all of it."""
    images = _images(batches, count)
    if not images:
        yield from (batches.make(k) for k in range(count))
    for first in range(0, len(images), batches.size):
        yield collate([batches.sampler.centre_patch(*image) for image in images[first : first + batches.size]])


def _images(batches: Batches, count: int) -> list[tuple[int, int]]:
    """Case and slice of each image that a patch holds; none where `count` batches would not show all, or a part."""
    sampler = batches.sampler
    if not sampler.holds_images() or sampler.pass_length() > count * batches.size:
        return []
    return [(index, k) for index in range(len(sampler.stores)) for k in sampler.slices_of(index)]
