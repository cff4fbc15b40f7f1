"""The machine at hand: device, memory, cores."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import psutil

from autospine.core.errors import UserError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
SHARE_OF_MEMORY = 0.6  # left to others and to what cannot be predicted
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of mallopt, see malloc.h
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's own, under Windows, AMD's


@dataclass(frozen=True)
class Machine:
    """Where to compute."""

    device: str  # "cpu", "cuda", "cuda:N" or "mps"
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
    return float(psutil.virtual_memory().total) / 2**30


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for later tensors; return whether it is one that can (glibc).

    By default large blocks go back to the system and are cleared page by page when they are taken again, in each
    training step anew: a sixth of its time on a processor.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def gpu_possible() -> bool:
    """Return whether a driver is loaded; without one PyTorch, which takes a second to load, need not be asked."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in GPU_DRIVERS)


def find_machine(device: str, memory_gib: float | None) -> Machine:
    """Return the machine at hand, or one that is elsewhere: a named device is not looked for where its memory is told.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" (the N-th of the visible ones) or "mps".
        memory_gib: What training may use; None measures.

    Raises:
        UserError: The device is unknown or not there.
    """
    if not DEVICE.fullmatch(device):
        raise UserError(f"--device {device}", "is no device", "use auto, cpu, cuda, cuda:N or mps")
    if memory_gib is not None and memory_gib <= 0:
        raise UserError("--memory", f"is {memory_gib:g}", "give the GiB that training may use")
    chosen = _best_device() if device == "auto" else device
    if memory_gib is not None:
        return Machine(chosen, memory_gib, cores())
    measured = machine_memory_gib() if chosen == "cpu" else _accelerator_memory_gib(chosen)
    return Machine(chosen, SHARE_OF_MEMORY * measured, cores())


def _best_device() -> str:
    if not gpu_possible():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _accelerator_memory_gib(device: str) -> float:
    """Return an accelerator's memory in GiB.

    Raises:
        UserError: It is not there, or its driver does not serve this PyTorch.
    """
    import torch

    kind, _, index = device.partition(":")
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("--device mps", "finds no Apple GPU", "use --device cpu")
        return torch.mps.recommended_max_memory() / 2**30
    with warnings.catch_warnings(record=True) as caught:  # of a driver that is too old, say
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) < count:
        return torch.cuda.get_device_properties(int(index or 0)).total_memory / 2**30
    problem = f"finds {count or 'no'} CUDA device{'' if count == 1 else 's'}"
    if caught:
        problem += f" ({str(caught[0].message).splitlines()[0]})"
    raise UserError(f"--device {device}", problem, "use --device cpu" if not count else "give a smaller number")
