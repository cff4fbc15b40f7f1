"""Fresh networks, their optimisers and their loss, ready for the first update."""

from __future__ import annotations

import torch

from autospine.core.precision import Precision
from autospine.networks.shape import NetworkShape
from autospine.training.optimisation import OptimizerStep
from autospine.training.trainer import Context, Trainer


def prepare(
    trainer: Trainer,
    shape: NetworkShape,
    precision: Precision,
    device: torch.device,
    step: int = 0,
    micro_batches: int = 1,
) -> Context:
    """Fresh networks with their optimisers."""
    networks = trainer.build_all(shape)
    for network in networks.values():
        precision.arrange(network.to(device), shape.dimension).train()
    clips = {name: trainer.recipe.optimisers[name].clip_norm for name in networks}
    updater = OptimizerStep(networks, trainer.optimisers(networks), clips, precision)
    return Context(networks, trainer.loss().to(device), updater, precision, device, step, micro_batches)
