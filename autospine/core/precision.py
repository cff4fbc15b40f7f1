"""Number format and memory layout of a network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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


def quick_precision(device: torch.device) -> Precision:
    """Return the fastest format of a device, by what it is rather than by a clock: the same on every run."""
    if device.type == "cuda":
        return Precision("float16")
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    half = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))
    return Precision("bfloat16" if half else "float32")
