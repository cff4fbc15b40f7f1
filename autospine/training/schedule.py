"""The learning rate as a function of the step, and of the validation score where a paper wants that."""

from __future__ import annotations

import math
from typing import Any

from autospine.planning.recipe import ScheduleSettings


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
