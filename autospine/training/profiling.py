"""How long one network takes on this machine: an update, and a forward pass."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from autospine.core.errors import UserError
from autospine.core.machine import SHARE_OF_MEMORY, find_machine
from autospine.core.precision import Precision
from autospine.networks.shape import NetworkShape
from autospine.networks.unet import UNet
from autospine.planning.memory import BYTES_PER_PARAMETER, FIXED_GIB
from autospine.training import distributed
from autospine.training.data import Batch
from autospine.training.trainer import Context, Trainer, prepare

WARM, TIMED = 1, 3
PATIENCE = 15.0  # seconds after which a format or a network is not timed once more


@dataclass(frozen=True)
class StepTime:
    """Seconds that one network takes."""

    update: float  # of a training step: forward, backward, update, of all networks
    forward: float  # of the network that segments, for one patch and without gradients


class StepTimer:
    """Times training steps of one network in one precision, on one batch."""

    def __init__(
        self,
        trainer: Trainer,
        shape: NetworkShape,
        precision: Precision,
        batch: Batch,
        device: torch.device,
    ) -> None:
        self.trainer, self.device = trainer, device
        context = prepare(trainer, shape, precision, device)
        self.context = replace(context, micro_batches=micro_batches_that_fit(trainer, context, shape, batch))
        images = batch.images.to(memory_format=precision.layout(shape.dimension))
        self.batch = batch.with_images(images, batch.labels, batch.centres)

    def seconds(self) -> float:
        """Measure one update: forward, backward, step."""
        wait(self.device)
        start = time.perf_counter()
        self.trainer.training_step(self.context, self.batch)
        wait(self.device)
        return time.perf_counter() - start

    def forward_seconds(self) -> float:
        """Measure a forward pass as prediction makes it, for one patch of the batch."""
        network = self.context.networks[self.trainer.inference].eval()
        wait(self.device)
        start = time.perf_counter()
        with torch.inference_mode(), self.context.precision.autocast(self.device):
            for micro_batch in self.batch.split(self.context.micro_batches):
                network(micro_batch.images)  # (B / micro_batches, channels, *patch)
        wait(self.device)
        network.train()
        return (time.perf_counter() - start) / len(self.batch.images)


def time_step(
    trainer: Trainer, shape: NetworkShape, precision: Precision, batch: Batch, device: torch.device
) -> StepTime:
    """Measure median times after warming up."""
    timer = StepTimer(trainer, shape, precision, batch, device)
    (update,) = repeated(lambda: [timer.seconds()], device)
    (forward,) = repeated(lambda: [timer.forward_seconds()], device)
    return StepTime(*distributed.of_the_main([median(update), median(forward)], device))


def repeated(measure: Callable[[], list[float]], device: torch.device) -> list[tuple[float, ...]]:
    """Measure several things in turn, each a few times after warming up; once if that takes long. Seconds."""
    rounds: list[list[float]] = []
    spent = 0.0
    while len(rounds) < WARM + TIMED and (len(rounds) <= WARM or spent < PATIENCE * len(rounds[0])):
        rounds.append(measure())
        # Steps average gradients over processes: all must agree on when to stop.
        spent += sum(distributed.of_the_main(rounds[-1], device))
    return list(zip(*rounds[WARM:], strict=True))


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


log = logging.getLogger(__name__)

BACKWARD_FACTOR = 1.3  # gradients and workspaces beside what the forward pass keeps, at the peak
GIB = 2**30


class TooLargeError(UserError):
    """One patch alone needs more memory than there is."""


def micro_batches_that_fit(trainer: Trainer, context: Context, shape: NetworkShape, batch: Batch) -> int:
    """Return into how many micro-batches a batch is divided to fit into the memory; the same in every process.

    The planner has fitted its own batch and patch to the memory of its U-Net already; whatever else is trained is
    measured. Trainers with a training step of their own divide nothing.

    Raises:
        TooLargeError: One patch needs more than the whole memory of the device, not only the share for training.
    """
    if _planned(trainer, context) or type(trainer).training_step is not Trainer.training_step:
        return 1
    weights = sum(p.numel() for network in context.networks.values() for p in network.parameters())
    fixed = FIXED_GIB + weights * BYTES_PER_PARAMETER / GIB
    memory = find_machine(str(context.device), None).memory_gib
    free_gib = memory - fixed
    patch_gib = BACKWARD_FACTOR * kept_bytes(trainer, context, batch.patches(0, 1)) / GIB
    total = len(batch.images)
    count = math.ceil(total / max(int(free_gib / max(patch_gib, 1e-9)), 1))
    needed = (min(count, total), fixed + patch_gib, memory / SHARE_OF_MEMORY)
    agreed, needed_gib, device_gib = distributed.of_the_main(needed, context.device)
    if needed_gib > device_gib:
        raise _too_large(trainer, shape, needed_gib, device_gib)
    count = int(agreed)
    if count > 1:
        log.info(
            "a batch of %d at widths %s needs %.1f GiB, %.1f are there: it is divided into %d micro-batches, whose "
            "patches are all that batch normalisation sees at once",
            total,
            shape.widths,
            total * patch_gib,
            free_gib,
            count,
        )
    return count


def _planned(trainer: Trainer, context: Context) -> bool:
    """Return whether the planner has fitted this to the memory: its U-Net on its batch and patch."""
    free = trainer.recipe.batch is None and trainer.recipe.patch is None
    return free and type(context.networks[trainer.inference]) is UNet


def _too_large(trainer: Trainer, shape: NetworkShape, needed_gib: float, device_gib: float) -> TooLargeError:
    widths = ", ".join(map(str, shape.widths))
    problem = f"needs {needed_gib:.1f} GiB at widths {widths} for one patch alone, the device has {device_gib:.1f}"
    recipe = trainer.recipe
    hint = f"use another recipe than {recipe.name}" if recipe.patch else "plan again with a smaller --memory"
    return TooLargeError(f"--trainer {trainer.name}", problem, hint)


def kept_bytes(trainer: Trainer, context: Context, batch: Batch) -> int:
    """Measure what a forward pass and the loss keep for the backward pass, the weights not counted."""
    network = context.networks[trainer.inference]
    known = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        with context.precision.autocast(context.device):
            outputs = network(batch.images)
        loss = context.loss(outputs, batch)["loss"]
    total = sum(size for storage, size in kept.items() if storage not in known)
    del loss, outputs
    return total
