"""The machine at hand: device, memory, cores."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from autospine.core.errors import UserError

SHARE_OF_MEMORY = 0.6  # left to others and to what cannot be predicted
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's own, under Windows, AMD's


@dataclass(frozen=True)
class Machine:
    """Where to compute."""

    device: str  # "cpu" or "cuda"
    memory_gib: float  # what training may use there
    cores: int  # processor cores that this process may use


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(asked: int) -> int:
    """Return the processes at once: what was asked for, or one per core.

    Raises:
        UserError: A negative number.
    """
    if asked < 0:
        raise UserError("--workers", f"is {asked}", "give a number of processes, or 0 for one per core")
    return asked or cores()


def machine_memory_gib() -> float:
    """Return the machine's main memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def gpu_possible() -> bool:
    """Return whether a driver is loaded; without one PyTorch, which takes a second to load, need not be asked."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in GPU_DRIVERS)


def find_machine(device: str, memory_gib: float | None) -> Machine:
    """Return the machine at hand.

    Args:
        device: "auto", "cpu" or "cuda".
        memory_gib: What the user allows; None measures.

    Raises:
        UserError: CUDA was asked for and there is none.
    """
    chosen, measured = "cpu", machine_memory_gib()
    if device == "cuda" or (device == "auto" and gpu_possible()):
        import torch

        if torch.cuda.is_available():
            chosen, measured = "cuda", torch.cuda.get_device_properties(0).total_memory / 2**30
        elif device == "cuda":
            raise UserError("--device cuda", "finds no CUDA device", "use --device cpu")
    if memory_gib is not None and memory_gib <= 0:
        raise UserError("--memory", f"is {memory_gib:g}", "give the GiB that training may use")
    return Machine(chosen, memory_gib or SHARE_OF_MEMORY * measured, cores())
