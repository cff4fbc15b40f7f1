"""Several processes under torchrun: who am I, and how gradients are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed
from torch.nn import Parameter

PATIENCE = timedelta(hours=12)  # the main process validates and prepares cases while the others wait


def rank() -> int:
    """Return the number of this process; 0 when alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Return whether this process writes the files."""
    return rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the processes that torchrun started, and yield this one's device."""
    if not distributed.is_torchelastic_launched():
        yield torch.device(device)
        return
    backend = "nccl" if device.startswith("cuda") else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        chosen = torch.device(device)
        if device.startswith("cuda"):
            chosen = torch.device("cuda", rank() % torch.cuda.device_count())
            torch.cuda.set_device(chosen)
        yield chosen
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Sequence[Parameter]) -> None:
    """Average gradients over processes, in one message."""
    if processes() == 1 or not parameters:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= processes()
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


def of_the_main(values: Sequence[float], device: torch.device) -> tuple[float, ...]:
    """Return the main process's numbers, so that what a clock or a score decides is decided alike everywhere."""
    if processes() == 1:
        return tuple(values)
    told = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.broadcast(told, 0)
    return tuple(told.tolist())


def wait_for_all() -> None:
    """Wait until every process is here."""
    if processes() > 1:
        distributed.barrier()
