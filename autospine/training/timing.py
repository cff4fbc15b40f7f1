"""How long one network takes on this machine: an update, and a forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch

from autospine.core.precision import Precision
from autospine.networks.shape import NetworkShape
from autospine.training import distributed
from autospine.training.accumulation import micro_batches_that_fit
from autospine.training.data import Batch
from autospine.training.preparation import prepare
from autospine.training.trainer import Trainer

WARM, TIMED = 1, 3
PATIENCE = 15.0  # seconds after which a format or a network is not timed once more


@dataclass(frozen=True)
class StepTime:
    """Seconds that one network takes.

    Attributes:
        update: Of a training step: forward, backward, update, of all networks.
        forward: Of the network that segments, for one patch and without gradients.
    """

    update: float
    forward: float


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
        """One step: forward, backward, update."""
        _wait(self.device)
        start = time.perf_counter()
        self.trainer.training_step(self.context, self.batch)
        _wait(self.device)
        return time.perf_counter() - start

    def forward_seconds(self) -> float:
        """A forward pass as prediction makes it, for one patch of the batch."""
        network = self.context.networks[self.trainer.inference].eval()
        _wait(self.device)
        start = time.perf_counter()
        with torch.inference_mode(), self.context.precision.autocast(self.device):
            for micro_batch in self.batch.split(self.context.micro_batches):
                network(micro_batch.images)  # (B / micro_batches, channels, *patch)
        _wait(self.device)
        network.train()
        return (time.perf_counter() - start) / len(self.batch.images)


def time_step(
    trainer: Trainer, shape: NetworkShape, precision: Precision, batch: Batch, device: torch.device
) -> StepTime:
    """Median times after warming up."""
    timer = StepTimer(trainer, shape, precision, batch, device)
    (update,) = repeated(lambda: [timer.seconds()], device)
    (forward,) = repeated(lambda: [timer.forward_seconds()], device)
    return StepTime(*distributed.of_the_main([median(update), median(forward)], device))


def repeated(measure: Callable[[], list[float]], device: torch.device) -> list[tuple[float, ...]]:
    """Seconds of several things measured in turn, each a few times after warming up; once if that takes long."""
    rounds: list[list[float]] = []
    spent = 0.0
    while len(rounds) < WARM + TIMED and (len(rounds) <= WARM or spent < PATIENCE * len(rounds[0])):
        rounds.append(measure())
        # Steps average gradients over processes: all must agree on when to stop.
        spent += sum(distributed.of_the_main(rounds[-1], device))
    return list(zip(*rounds[WARM:], strict=True))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
