"""Number format and memory layout of a network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Precision:
    """How numbers are held."""

    dtype: str = "float32"  # "float32", "bfloat16" or "float16", for convolutions; losses stay in float32
    channels_last: bool = False  # memory layout of images and weights

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(device.type, DTYPES[self.dtype])

    def layout(self, dimension: int) -> torch.memory_format:
        """Return the layout of images of that dimension."""
        if not self.channels_last:
            return torch.contiguous_format
        return torch.channels_last if dimension == 2 else torch.channels_last_3d

    def arrange(self, network: nn.Module, dimension: int) -> nn.Module:
        """Bring a network's weights into the layout."""
        return network.to(memory_format=self.layout(dimension))  # type: ignore[call-overload]


def cpu_capabilities() -> dict[str, Any]:
    """Return what PyTorch knows of the processor: "cpu_name", and whether it has "avx512_bf16" and the like."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older versions
    return known


def usual_precision(device: torch.device) -> Precision:
    """Return the format that a device usually trains fastest in, by what it is and not by a clock: equal on every run.

    Instructions for bfloat16 halve the time of a training step on a processor; where they are emulated it takes longer.
    """
    if device.type == "cuda":
        return Precision("bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16")
    native = device.type == "cpu" and any(map(cpu_capabilities().get, BF16_INSTRUCTIONS))
    return Precision("bfloat16" if native else "float32")
