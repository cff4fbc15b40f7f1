"""One update of a network by its loss."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autospine.core.precision import Precision
from autospine.training.distributed import average_gradients


class OptimizerStep:
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

    def update(self, name: str, loss: Tensor | Iterable[Tensor]) -> None:
        """One update of one network.

        Args:
            name: Of the network.
            loss: Or its summands, each asked for when the one before has gone back, so that the memory holds one.
        """
        network, optimiser = self.networks[name], self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        for part in [loss] if isinstance(loss, Tensor) else loss:
            self.scaler.scale(part).backward()
        parameters = [p for p in network.parameters() if p.grad is not None]
        average_gradients(parameters)
        self.scaler.unscale_(optimiser)
        if self.clip_norms[name]:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norms[name])
        self.scaler.step(optimiser)
        self.scaler.update()
