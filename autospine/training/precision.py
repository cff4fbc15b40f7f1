"""Number format and memory layout of a training, and one update in them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autospine.training.distributed import average_gradients

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """How numbers are held.

    Attributes:
        dtype: "float32", "bfloat16" or "float16", for convolutions; losses stay in float32.
        channels_last: Memory layout of images and weights.
    """

    dtype: str = "float32"
    channels_last: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Context of a forward pass."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(device.type, DTYPES[self.dtype])

    def layout(self, dimension: int) -> torch.memory_format:
        """The layout of images of that dimension."""
        if not self.channels_last:
            return torch.contiguous_format
        return torch.channels_last if dimension == 2 else torch.channels_last_3d

    def arrange(self, network: nn.Module, dimension: int) -> nn.Module:
        """Brings a network's weights into the layout."""
        return network.to(memory_format=self.layout(dimension))  # type: ignore[call-overload]


class Updater:
    """Moves networks by their losses: backward, average over processes, clip, step.

    Args:
        networks: By name.
        optimisers: By the same names.
        clip_norms: Largest gradient norm of each; 0 for none.
        precision: float16 scales its losses.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimisers: dict[str, Optimizer],
        clip_norms: dict[str, float],
        precision: Precision,
    ) -> None:
        self.networks, self.optimisers, self.clip_norms = networks, optimisers, clip_norms
        self.precision = precision
        self.scaler = torch.amp.GradScaler(enabled=precision.dtype == "float16")

    def update(self, name: str, loss: Tensor) -> None:
        """One update of one network."""
        network, optimiser = self.networks[name], self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        parameters = [p for p in network.parameters() if p.grad is not None]
        average_gradients(parameters)
        self.scaler.unscale_(optimiser)
        if self.clip_norms[name]:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norms[name])
        self.scaler.step(optimiser)
        self.scaler.update()
