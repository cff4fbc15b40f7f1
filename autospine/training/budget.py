"""Budget of a training: number format, layout, network and number of updates, chosen by how fast this machine is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from autospine.core.errors import UserError
from autospine.core.precision import Precision, usual_precision
from autospine.inference.sliding_window import starts
from autospine.networks.shape import NetworkShape
from autospine.preprocessing.storage import CaseStore
from autospine.preprocessing.transforms.spatial import shape_after
from autospine.training import distributed
from autospine.training.around import Around, time_around
from autospine.training.data import Batch, Batches
from autospine.training.epoch_validation import AROUND_FORWARD, validation_seconds
from autospine.training.job import TrainingJob
from autospine.training.profiling import StepTime, StepTimer, TooLargeError, micro_batches_that_fit, repeated, time_step
from autospine.training.trainer import Trainer, prepare

log = logging.getLogger(__name__)

EPOCHS_OF_A_BUDGET = 20  # at most
VALIDATION_SHARE = 0.05  # of the updates' time, for the validation after the epochs of a budget
FEW_EPOCHS, SHARE_OF_FEW = 5, 0.15  # up to so many may cost more: checkpoints are written after epochs
SECONDS_PER_CASE = 2.5  # reading, resampling, scoring, drawing, writing
LONG = 2 * 3600.0  # seconds; a training that takes longer is told of --minutes
WORTH = 0.97  # a layout or format must be this much faster to be taken


@dataclass(frozen=True)
class TrainingBudget:
    """What was measured and chosen; stored, so that a continued training does the same."""

    shape: NetworkShape  # of the network
    precision: Precision  # number format and layout
    iterations: int  # updates of the whole training
    iterations_per_epoch: int  # updates between validations
    seconds_per_iteration: float  # measured
    micro_batches: int = 1  # into which a batch is divided

    def __post_init__(self) -> None:
        if self.iterations < 0 or min(self.iterations_per_epoch, self.micro_batches) < 1:
            raise ValueError(f"{self.iterations} updates, {self.iterations_per_epoch} per epoch")


@dataclass(frozen=True)
class ValidationCost:
    """The validation after the training, or what else must be paid for out of the budget."""

    windows: int  # to be predicted
    cases: int  # to be read, scored and written

    def seconds(self, forward: float) -> float:
        """Return the expected time, if a forward pass of one patch takes `forward` seconds."""
        return self.windows * forward * AROUND_FORWARD + self.cases * SECONDS_PER_CASE


def validation_cost(trainer: Trainer, job: TrainingJob) -> ValidationCost:
    """Return the cost of the fold's validation on whole cases."""
    cases = job.fold.eval_subset.cases
    return ValidationCost(count_windows(trainer, job.cases, cases), len(cases))


def count_windows(trainer: Trainer, cases: Path, ids: Sequence[str]) -> int:
    """Count the windows that a prediction of whole cases visits, on the grid that the recipe's transforms leave."""
    total, view = 0, trainer.plan.view_axis
    for case_id in ids:
        record = CaseStore(cases, case_id).record
        shape = shape_after(trainer.transforms, record.shape, record.spacing, view)
        count = 1 if view is None else shape[view]
        if record.slice_grid and view == 0 and shape[0] == record.shape[0] and not trainer.encoding.ordered:
            count = record.slice_grid.measured  # those interpolated between stay out of the network
        for axis, size in zip(trainer.plan.network_axes, trainer.patch, strict=True):
            count *= len(starts(shape[axis], size))
        total += count
    return total


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """Return the number formats and layouts that this device can use."""
    if device.type == "cuda":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return (Precision(dtype), Precision(dtype, True), Precision("float32"))
    if device.type == "mps":
        return (Precision("float32"),)
    return (Precision("float32"), Precision("bfloat16"), Precision("bfloat16", True))


def choose_budget(
    trainer: Trainer, batches: Batches, job: TrainingJob, cost: ValidationCost, patches: int
) -> TrainingBudget:
    """Measure updates on this machine, and choose the budget by them."""
    batch = batches.make(0).to(job.device)
    shapes = width_options(trainer, job) if job.minutes is not None else [trainer.shape()]
    if job.minutes is None:
        precision = settled_precision(job.device)
        seconds = time_step(trainer, shapes[0], precision, batch, job.device)
        around = time_around(trainer, batches, precision, job.device)
        budget = _by_epochs(trainer, shapes[0], precision, seconds, around, batches, job, patches)
    else:
        precision = fastest_precision(trainer, shapes[len(shapes) // 3], batch, job.device)
        around = time_around(trainer, batches, precision, job.device)
        budget = _by_minutes(trainer, shapes, precision, batch, around, job, cost, patches)
    context = prepare(trainer, budget.shape, precision, job.device)
    return replace(budget, micro_batches=micro_batches_that_fit(trainer, context, budget.shape, batch))


def width_options(trainer: Trainer, job: TrainingJob) -> Sequence[NetworkShape]:
    """Return the shapes among which a time budget chooses: that of the start alone where there is one."""
    return trainer.width_options() if job.start is None else [trainer.shape()]


def settled_precision(device: torch.device) -> Precision:
    """Return the format and layout of a device without looking at the clock, so that equal seeds stay equal."""
    usual, choices = usual_precision(device), precisions(device)
    return usual if usual in choices else choices[0]


def fastest_precision(trainer: Trainer, shape: NetworkShape, batch: Batch, device: torch.device) -> Precision:
    """Return the format and layout with the quickest update; measured in turn, the best of each: others disturb."""
    choices = precisions(device)
    timers = [StepTimer(trainer, shape, precision, batch, device) for precision in choices]
    rounds = repeated(lambda: [timer.seconds() for timer in timers], device)
    times = distributed.of_the_main([min(seconds) for seconds in rounds], device)
    best = 0
    for k, seconds in enumerate(times):
        if seconds < WORTH * times[best]:
            best = k
    names = [f"{p.dtype} {'channels last' if p.channels_last else 'contiguous'}" for p in choices]
    measured = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in zip(names, times, strict=True))
    log.info("a training step takes %s: %s is taken", measured, names[best])
    return choices[best]


def epoch_length(trainer: Trainer, batches: Batches) -> int:
    """Return the updates per epoch: the recipe's, or one pass over the training slices or volumes."""
    return trainer.recipe.iterations_per_epoch or max(-(-batches.sampler.pass_length() // batches.size), 1)


def _by_epochs(
    trainer: Trainer,
    shape: NetworkShape,
    precision: Precision,
    seconds: StepTime,
    around: Around,
    batches: Batches,
    job: TrainingJob,
    patches: int,
) -> TrainingBudget:
    per_epoch = epoch_length(trainer, batches)
    epochs = job.epochs or trainer.recipe.epochs
    total = epochs * (per_epoch * around.update(seconds.update) + validation_seconds(patches, seconds.forward))
    log.info("%d epochs of %d updates, %.2f s each: about %s", epochs, per_epoch, seconds.update, duration(total))
    if total > LONG and job.epochs is None:
        log.info("(--minutes M fits the network and its schedule to a time)")
    return TrainingBudget(shape, precision, epochs * per_epoch, per_epoch, seconds.update)


def _by_minutes(
    trainer: Trainer,
    shapes: Sequence[NetworkShape],
    precision: Precision,
    batch: Batch,
    around: Around,
    job: TrainingJob,
    cost: ValidationCost,
    patches: int,
) -> TrainingBudget:
    """Choose the widest network that gets enough updates in the time that is left."""
    chosen: tuple[NetworkShape, StepTime] | None = None

    def length_of(seconds: StepTime) -> tuple[int, int]:
        (left,) = distributed.of_the_main([job.seconds_left()], job.device)
        left -= cost.seconds(seconds.forward)
        return length_within(left, around.update(seconds.update), validation_seconds(patches, seconds.forward))

    for shape in shapes:
        try:
            seconds = time_step(trainer, shape, precision, batch, job.device)
        except TooLargeError:
            if chosen is None:
                raise
            log.info("widths %s: more than the memory holds", shape.widths)
            break
        updates, _ = length_of(seconds)
        enough = updates >= trainer.recipe.min_updates
        log.info("widths %s: %.2f s a step, time for %d updates", shape.widths, seconds.update, max(updates, 0))
        if chosen is None or enough:
            chosen = (shape, seconds)
        if not enough:
            break
    if chosen is None:
        raise UserError(f"--trainer {trainer.name}", "offers no network to choose from", "use another trainer")
    shape, seconds = chosen
    updates, epochs = length_of(seconds)
    per_epoch, epochs = divided(max(updates, 2), epochs)
    updates = per_epoch * epochs
    log.info("%.3g minutes: widths %s, %d updates", job.minutes or 0, shape.widths, updates)
    if updates < trainer.recipe.min_updates / 2:
        log.warning("%d updates are few: expect rough masks, or give more --minutes", updates)
    return TrainingBudget(shape, precision, updates, per_epoch, seconds.update)


def length_within(seconds: float, update: float, validation: float) -> tuple[int, int]:
    """Return the updates for which a time is enough, none or fewer if it is not, and the most epochs they may have.

    Args:
        seconds: That there are.
        update: Seconds of one.
        validation: Seconds of that after an epoch; all get at most their share, or there is one, at the end.
    """
    usual, few = (int(seconds * share / (1 + share) / validation) for share in (VALIDATION_SHARE, SHARE_OF_FEW))
    epochs = max(min(usual, EPOCHS_OF_A_BUDGET), min(few, FEW_EPOCHS), 1)
    return int((seconds - epochs * validation) / update), epochs


def divided(updates: int, most: int) -> tuple[int, int]:
    """Return updates per epoch and epochs, at most `most` and not far fewer, so that hardly an update is left over."""
    most = min(most, updates)
    epochs = max(range((most + 1) // 2, most + 1), key=lambda count: (updates // count * count, count))
    return updates // epochs, epochs


def duration(seconds: float) -> str:
    """Write seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
