"""Random values for the samples of one batch."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Draws (B,) values, and more for each sample, from one generator on the CPU."""

    def __init__(self, generator: torch.Generator, batch: int) -> None:
        self.generator, self.batch = generator, batch

    def chosen(self, probability: float) -> Tensor:
        """Choose each sample with a probability."""
        return torch.rand(self.batch, generator=self.generator) < probability

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        """Draw between two values: (B, *size)."""
        return low + (high - low) * torch.rand((self.batch, *size), generator=self.generator)

    def normal(self, *size: int) -> Tensor:
        """Draw from the standard normal distribution: (B, *size)."""
        return torch.randn((self.batch, *size), generator=self.generator)

    def sometimes(self, probability: float, low: float, high: float, otherwise: float) -> Tensor:
        """Draw between two values for samples chosen with a probability."""
        value = self.uniform(low, high)
        return value.where(self.chosen(probability), torch.tensor(otherwise))
