"""Quick scores of a network on validation patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from autospine.labels.encoding import Encoding
from autospine.training.data import Batch, Batches
from autospine.training.history import Scores
from autospine.training.trainer import Context


def patch_scores(network: nn.Module, encoding: Encoding, context: Context, batches: Iterable[Batch]) -> Scores:
    """Score the classes over all patches together.

    Where a voxel may be one of several classes, each of them is right; what hides in a background counts as background.
    """
    classes = encoding.semantic_channels
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=context.device)
    for micro_batch in (
        micro_batch for batch in batches for micro_batch in batch.to(context.device).split(context.micro_batches)
    ):
        with context.precision.autocast(context.device):
            logits = network(micro_batch.images.contiguous(memory_format=_layout(context, micro_batch.images)))
        predicted = logits[:, :classes].argmax(dim=1)  # (B, *spatial)
        possible = context.loss.members[micro_batch.labels.long()]  # (B, *spatial, classes)
        known, first = possible.any(-1), possible.int().argmax(-1)  # (B, *spatial)
        right = possible.gather(-1, predicted[..., None])[..., 0]
        reference = torch.where(right & (first > 0), predicted, first)
        predicted = torch.where(right & (first == 0), 0, predicted)
        pairs = reference[known] * classes + predicted[known]
        confusion += torch.bincount(pairs, minlength=classes * classes)
    return scores_of(confusion.view(classes, classes))


def _layout(context: Context, images: Tensor) -> torch.memory_format:
    return context.precision.layout(images.ndim - 2)


def scores_of(confusion: Tensor) -> Scores:
    """Compute means over the foreground classes of a confusion matrix (reference in rows) that are shown; else 0."""
    counts = confusion.double()
    hit = counts.diagonal()[1:]
    reference, predicted = counts.sum(dim=1)[1:], counts.sum(dim=0)[1:]
    shown = (reference + predicted) > 0
    if not shown.any():
        return Scores(0.0, 0.0, float(counts.diagonal().sum() / counts.sum().clamp(min=1)))
    dice = (2 * hit / (reference + predicted).clamp(min=1))[shown].mean()
    iou = (hit / (reference + predicted - hit).clamp(min=1))[shown].mean()
    return Scores(float(dice), float(iou), float(counts.diagonal().sum() / counts.sum()))


VALIDATION_BATCHES, TRAINING_BATCHES = 6, 3  # scored after each epoch
AROUND_FORWARD = 1.3  # of a forward pass of prediction, what is done before and after it included
SECONDS_PER_EPOCH = 0.4  # writing metrics.csv and drawing the pictures


def validation_seconds(patches: int, forward: float) -> float:
    """Return the expected time of a validation pass, if a forward pass of one patch takes `forward` seconds."""
    return patches * forward * AROUND_FORWARD + SECONDS_PER_EPOCH


def validation_patches(training: Batches, validation: Batches) -> int:
    """Count the patches that are scored after each epoch, of validation and training cases."""
    sides = ((validation, VALIDATION_BATCHES), (training, TRAINING_BATCHES))
    return sum(len(_images(side, count)) or count * side.size for side, count in sides)


def fixed_batches(batches: Batches, count: int) -> Iterator[Batch]:
    """Yield the same `count` batches at every call; each image once where that is fewer, since a patch holds it."""
    images = _images(batches, count)
    if not images:
        yield from (batches.make(k) for k in range(count))
    for first in range(0, len(images), batches.size):
        yield batches.batch_of([batches.sampler.centre_patch(*image) for image in images[first : first + batches.size]])


def _images(batches: Batches, count: int) -> list[tuple[int, int]]:
    """List case and slice of each image that a patch holds; none where `count` batches would not show all."""
    sampler = batches.sampler
    if not sampler.holds_images() or sampler.pass_length() > count * batches.size:
        return []
    return [(index, k) for index in range(len(sampler.stores)) for k in sampler.slices_of(index)]
