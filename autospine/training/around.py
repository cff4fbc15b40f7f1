"""What the loop does around a bare update, measured: batches that are made, brought to the device and augmented."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch

from autospine.core.precision import Precision
from autospine.training import distributed
from autospine.training.data import Batches
from autospine.training.loading import augmented
from autospine.training.profiling import wait
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)

REST = 1.02  # of an update: the running average, rates, logging
BATCHES = 3  # that are timed


@dataclass(frozen=True)
class Around:
    """Seconds of the loop around an update."""

    made: float  # of one batch, while all workers make some
    augmented: float  # of its augmentation
    overlaps: bool  # whether batches are made while the device works: on a CPU both need the same cores

    def update(self, bare: float) -> float:
        """Return the seconds of an update in the loop, of one that takes `bare` seconds on a batch that is there."""
        on_device = bare * REST + self.augmented
        return max(on_device, self.made) if self.overlaps else on_device + self.made


def time_around(trainer: Trainer, batches: Batches, precision: Precision, device: torch.device) -> Around:
    """Measure what the loop does around an update; the first batches, which open files, are not counted."""
    first = batches.workers + 1
    timed = BATCHES * batches.workers
    stream = batches.iterate(0, first + timed)
    batch = [next(stream).to(device) for _ in range(first)][-1]
    wait(device)
    start = time.perf_counter()
    for _ in stream:
        pass
    wait(device)
    made = (time.perf_counter() - start) / timed
    augmented(trainer, batch, precision)
    wait(device)
    start = time.perf_counter()
    for _ in range(BATCHES):
        augmented(trainer, batch, precision)
    wait(device)
    made, seconds = distributed.of_the_main((made, (time.perf_counter() - start) / BATCHES), device)
    log.debug("a batch is made in %.0f ms and augmented in %.0f ms", 1000 * made, 1000 * seconds)
    return Around(made, seconds, overlaps=device.type != "cpu")
