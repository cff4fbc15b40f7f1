"""Looks how fast this machine trains, and chooses format, layout, network and number of updates by that."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.networks.shape import NetworkShape
from autospine.training import distributed
from autospine.training.data import Batch, Batches
from autospine.training.epoch_validation import AROUND_FORWARD, validation_seconds
from autospine.training.profiling import StepTime, StepTimer, TooLargeError, micro_batches_that_fit, repeated, time_step
from autospine.training.trainer import Trainer, prepare

if TYPE_CHECKING:
    from autospine.training.job import Job

log = logging.getLogger(__name__)

LOADING = 1.06  # a step in the loop over a bare one: batches, augmentation, logging
EPOCHS_OF_A_BUDGET = 20  # at most
LOOK_SHARE = 0.05  # of the updates' time, for the looks after the epochs of a budget
FEW_EPOCHS, SHARE_OF_FEW = 5, 0.15  # up to so many may cost more: checkpoints are written after epochs
SECONDS_PER_CASE = 2.5  # reading, resampling, scoring, drawing, writing
LONG = 2 * 3600.0  # seconds; a training that takes longer is told of --minutes
WORTH = 0.97  # a layout or format must be this much faster to be taken


@dataclass(frozen=True)
class TrainingBudget:
    """What was measured and chosen; stored, so that a continued training does the same.

    Attributes:
        shape: Of the network.
        precision: Number format and layout.
        steps: Updates of the whole training.
        iterations_per_epoch: Updates between validations.
        seconds_per_step: Measured.
        micro_batches: Into which a batch is divided.
    """

    shape: NetworkShape
    precision: Precision
    steps: int
    iterations_per_epoch: int
    seconds_per_step: float
    micro_batches: int = 1


@dataclass(frozen=True)
class ValidationCost:
    """The validation after the training, or what else must be paid for out of the budget.

    Attributes:
        windows: To be predicted.
        cases: To be read, scored and written.
    """

    windows: int
    cases: int

    def seconds(self, forward: float) -> float:
        """Predicted time of it, if a forward pass of one patch takes `forward` seconds."""
        return self.windows * forward * AROUND_FORWARD + self.cases * SECONDS_PER_CASE


def precisions(device: torch.device) -> Iterable[Precision]:
    """Number formats and layouts that this device can use."""
    if device.type == "cuda":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return (Precision(dtype), Precision(dtype, True), Precision("float32"))
    return (Precision("float32"), Precision("bfloat16"), Precision("bfloat16", True))


def choose_budget(trainer: Trainer, batches: Batches, job: Job, after: ValidationCost, look: int) -> TrainingBudget:
    """Measures and chooses.

    Args:
        trainer: With its widths.
        batches: Of the training.
        job: With the budget, if there is one.
        after: The validation that follows the training.
        look: Patches that are scored after each epoch.
    """
    batch = batches.make(0).to(job.device)
    width_options = list(trainer.width_options()) if job.minutes is not None else [trainer.shape()]
    precision = _fastest_precision(trainer, width_options[len(width_options) // 3], batch, job.device)
    if job.minutes is None:
        took = time_step(trainer, width_options[0], precision, batch, job.device)
        found = _by_epochs(trainer, width_options[0], precision, took, batches, job, look)
    else:
        found = _by_minutes(trainer, width_options, precision, batch, job, after, look)
    context = prepare(trainer, found.shape, precision, job.device)
    return replace(found, micro_batches=micro_batches_that_fit(trainer, context, found.shape, batch))


def _fastest_precision(trainer: Trainer, shape: NetworkShape, batch: Batch, device: torch.device) -> Precision:
    """The format and layout with the quickest step; measured in turn, the best of each, since others disturb."""
    choices = list(precisions(device))
    timers = [StepTimer(trainer, shape, precision, batch, device) for precision in choices]
    found = repeated(lambda: [timer.seconds() for timer in timers], device)
    times = distributed.of_the_main([min(each) for each in found], device)
    best = 0
    for k, seconds in enumerate(times):
        if seconds < WORTH * times[best]:
            best = k
    said = ", ".join(f"{_words(p)} {t * 1000:.0f} ms" for p, t in zip(choices, times, strict=True))
    log.info("a training step takes %s: %s is taken", said, _words(choices[best]))
    return choices[best]


def _words(precision: Precision) -> str:
    return f"{precision.dtype} {'channels last' if precision.channels_last else 'contiguous'}"


def epoch_length(trainer: Trainer, batches: Batches) -> int:
    """Updates per epoch: the recipe's, or one pass over the training slices or volumes."""
    return trainer.recipe.iterations_per_epoch or max(-(-batches.sampler.pass_length() // batches.size), 1)


def _by_epochs(
    trainer: Trainer,
    shape: NetworkShape,
    precision: Precision,
    took: StepTime,
    batches: Batches,
    job: Job,
    look: int,
) -> TrainingBudget:
    per_epoch = epoch_length(trainer, batches)
    epochs = job.epochs or trainer.recipe.epochs
    total = epochs * (per_epoch * took.update * LOADING + validation_seconds(look, took.forward))
    log.info("%d epochs of %d updates, %.2f s each: about %s", epochs, per_epoch, took.update, duration(total))
    if total > LONG and job.epochs is None:
        log.info("(--minutes M fits the network and its schedule to a time)")
    return TrainingBudget(shape, precision, epochs * per_epoch, per_epoch, took.update)


def _by_minutes(
    trainer: Trainer,
    width_options: list[NetworkShape],
    precision: Precision,
    batch: Batch,
    job: Job,
    after: ValidationCost,
    look: int,
) -> TrainingBudget:
    """The widest network that gets enough updates in the time that is left."""
    chosen: tuple[NetworkShape, StepTime] | None = None

    def length_of(took: StepTime) -> tuple[int, int]:
        seconds = _seconds_left(job) - after.seconds(took.forward)
        return length_within(seconds, took.update * LOADING, validation_seconds(look, took.forward))

    for shape in width_options:
        try:
            took = time_step(trainer, shape, precision, batch, job.device)
        except TooLargeError:
            if chosen is None:
                raise
            log.info("widths %s: more than the memory holds", shape.widths)
            break
        updates, _ = length_of(took)
        enough = updates >= trainer.recipe.min_updates
        log.info("widths %s: %.2f s a step, time for %d updates", shape.widths, took.update, max(updates, 0))
        if chosen is None or enough:
            chosen = (shape, took)
        if not enough:
            break
    if chosen is None:
        raise UserError(f"--trainer {trainer.name}", "offers no network to choose from", "use another trainer")
    shape, took = chosen
    updates, epochs = length_of(took)
    per_epoch, epochs = divided(max(updates, 2), epochs)
    steps = per_epoch * epochs
    log.info("%.3g minutes: widths %s, %d updates", job.minutes or 0, shape.widths, steps)
    if steps < trainer.recipe.min_updates / 2:
        log.warning("%d updates are few: expect rough masks, or give more --minutes", steps)
    return TrainingBudget(shape, precision, steps, per_epoch, took.update)


def length_within(seconds: float, update: float, look: float) -> tuple[int, int]:
    """Updates for which a time is enough, none or fewer if it is not, and the most epochs that they may have.

    Args:
        seconds: That there are.
        update: Seconds of one.
        look: Seconds of the look after an epoch; looks get at most their share, or there is one, at the end.
    """
    usual, few = (int(seconds * share / (1 + share) / look) for share in (LOOK_SHARE, SHARE_OF_FEW))
    epochs = max(min(usual, EPOCHS_OF_A_BUDGET), min(few, FEW_EPOCHS), 1)
    return int((seconds - epochs * look) / update), epochs


def divided(updates: int, most: int) -> tuple[int, int]:
    """Updates per epoch and epochs, no more than `most` and not far fewer, so that hardly an update is left over."""
    most = min(most, updates)
    epochs = max(range((most + 1) // 2, most + 1), key=lambda count: (updates // count * count, count))
    return updates // epochs, epochs


def _seconds_left(job: Job) -> float:
    (seconds,) = distributed.of_the_main([job.seconds_left()], job.device)
    return seconds


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
