"""One update of a network by its loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autospine.core.precision import Precision
from autospine.planning.recipe import ScheduleSettings
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


class Schedule:
    """Multiplies each optimiser's highest rate.

    Args:
        settings: Kind and numbers.
        steps: Updates of the whole training.
    """

    def __init__(self, settings: ScheduleSettings, steps: int) -> None:
        self.settings, self.steps = settings, max(steps, 1)
        self.best, self.waited, self.plateau = -math.inf, 0, 1.0

    def factor(self, step: int) -> float:
        """What the highest rate is multiplied with at a step (0 to steps - 1)."""
        warm = self.settings.warmup * self.steps
        if step < warm:
            return (step + 1) / (warm + 1)
        share = (step - warm) / max(self.steps - warm, 1)
        if self.settings.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        if self.settings.kind == "poly":
            return (1 - share) ** self.settings.power
        return self.plateau

    def observe(self, score: float) -> None:
        """Tells the schedule an epoch's validation score."""
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.settings.kind == "plateau" and self.waited > self.settings.patience:
            self.plateau, self.waited = self.plateau * self.settings.factor, 0

    def state(self) -> dict[str, Any]:
        """What a continued training needs."""
        return {"best": self.best, "waited": self.waited, "plateau": self.plateau}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes `state` back."""
        self.best, self.waited, self.plateau = state["best"], state["waited"], state["plateau"]
