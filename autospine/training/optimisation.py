"""Optimisers, updates by a loss, schedules of the learning rate, and moving averages of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from autospine.core.precision import Precision
from autospine.planning.recipe import OptimiserSettings, ScheduleSettings
from autospine.training.distributed import average_gradients


def make_optimiser(settings: OptimiserSettings, network: nn.Module) -> Optimizer:
    """Make an optimiser for all of a network's weights, on CUDA one that moves all of them by one kernel."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    fused = True if all(p.is_cuda for p in parameters) else None
    if settings.kind == "sgd":
        return SGD(
            parameters,
            settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
            fused=fused,
        )
    kind = AdamW if settings.kind == "adamw" else Adam
    betas = (settings.momentum, settings.second_beta)
    return kind(parameters, settings.learning_rate, betas=betas, weight_decay=settings.weight_decay, fused=fused)


class OptimizerStep:
    """Updates networks by their losses: backward, average over processes, clip, step.

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
        self.scaler = torch.amp.GradScaler(enabled=precision.dtype == "float16")

    def update(self, name: str, loss: Tensor | Iterable[Tensor]) -> None:
        """Update one network once.

        Args:
            name: Of the network.
            loss: Or its summands, each asked for after the backward pass of the one before, so that the memory holds
                one.
        """
        network, optimiser = self.networks[name], self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        for summand in [loss] if isinstance(loss, Tensor) else loss:
            self.scaler.scale(summand).backward()
        parameters = [p for p in network.parameters() if p.grad is not None]
        average_gradients(parameters)
        self.scaler.unscale_(optimiser)
        if self.clip_norms[name]:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norms[name])
        self.scaler.step(optimiser)
        self.scaler.update()


class Schedule:
    """Learning rates of all optimisers: a factor of the update's number, and of the monitored score on a plateau.

    Args:
        settings: Kind and numbers.
        optimisers: At their highest rates.
        updates: Of the whole training.
    """

    def __init__(self, settings: ScheduleSettings, optimisers: Iterable[Optimizer], updates: int) -> None:
        self.settings, self.updates = settings, max(updates, 1)
        # Watches scores at a rate of 1, which multiplies the rates of all optimisers.
        plateau = SGD([torch.zeros(1)], lr=1.0)
        self.plateau = ReduceLROnPlateau(plateau, "max", settings.factor, settings.patience, threshold=0.0, eps=0.0)
        self.rates = [LambdaLR(optimiser, self.factor) for optimiser in optimisers]

    def factor(self, update: int) -> float:
        """Return what the highest rate is multiplied with at an update (0 to updates - 1)."""
        warmup = self.settings.warmup * self.updates
        if update < warmup:
            return (update + 1) / (warmup + 1)
        share = (update - warmup) / max(self.updates - warmup, 1)
        if self.settings.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        if self.settings.kind == "poly":
            return (1 - share) ** self.settings.power
        return float(self.plateau.get_last_lr()[0])

    def start(self, update: int) -> None:
        """Set the rates of an update, before it is made; those of the first one are set from the beginning."""
        if update:
            for rate in self.rates:
                rate.step()

    def observe(self, score: float) -> None:
        """Take note of an epoch's monitored score."""
        if self.settings.kind == "plateau":
            self.plateau.step(score)

    def state_dict(self) -> dict[str, Any]:
        """Return what a continued training needs."""
        return {"plateau": self.plateau.state_dict(), "rates": [rate.state_dict() for rate in self.rates]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take `state_dict`'s values back."""
        self.plateau.load_state_dict(state["plateau"])
        self.plateau.optimizer.param_groups[0]["lr"] = self.plateau.get_last_lr()[0]
        for rate, values in zip(self.rates, state["rates"], strict=True):
            rate.load_state_dict({**values, "_step_count": 2})  # else it warns that no update was made, in this process


class MovingAverage(AveragedModel):
    """Exponential moving average of a network's weights and buffers, in evaluation mode.

    The decay rises to `decay` as (1 + n) / (10 + n) with the number n of updates, so that early weights are forgotten.
    `AveragedModel` counts on the network's device, where reading the count waits for the update to be done.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.decay = decay
        self.module.eval()

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take note of the network's weights after an update; of the first one they are copied."""
        updates = int(self.n_averaged) + 1  # on the host
        averaged, current = ([*network.parameters(), *network.buffers()] for network in (self.module, model))
        blended: tuple[list[Tensor], list[Tensor]] = ([], [])
        for old, new in zip(averaged, current, strict=True):
            if updates > 1 and old.is_floating_point():
                blended[0].append(old)
                blended[1].append(new)
            else:
                old.copy_(new)
        if blended[0]:
            torch._foreach_lerp_(*blended, 1 - min(self.decay, (1 + updates) / (10 + updates)))
        self.n_averaged += 1
