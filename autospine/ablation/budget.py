"""Budget and seed of an ablation, written beside its tables so that a continued one keeps to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.core.serial import from_plain

FILE = "budget.json"


@dataclass(frozen=True)
class AblationBudget:
    """What is the same for every variant."""

    epochs: int | None  # of each, or None
    minutes: float | None  # for each, validation included, or None
    seed: int  # of weights and patches

    @property
    def open(self) -> bool:
        """Return whether no budget is given."""
        return self.epochs is None and self.minutes is None

    @property
    def text(self) -> str:
        """Return the budget as text."""
        if self.epochs is not None:
            return f"{self.epochs} epoch{'s' if self.epochs != 1 else ''}"
        return f"{self.minutes:g} minutes, validation included"

    def check(self) -> None:
        """Check that a variant can be trained with it.

        Raises:
            UserError: The budget is no positive number.
        """
        if self.epochs is not None and self.epochs < 1:
            raise UserError("--epochs", f"is {self.epochs}", "ask for at least 1")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UserError("--minutes", f"is {self.minutes:g}", "give a positive number")


def continued(asked: AblationBudget, folder: Path, started: bool) -> AblationBudget:
    """Return the budget of an ablation that goes on.

    Args:
        asked: Now. While no variant has started, a budget given now replaces the written one.
        folder: Where it was written; where it was not, the one asked for holds.
        started: Whether a variant has.

    Raises:
        UserError: A variant was begun with another budget or seed, or the file is damaged.
    """
    path = folder / FILE
    if not path.exists() or not (started or asked.open):
        return asked
    begun = from_plain(AblationBudget, read_json(path), str(path))
    if not asked.open and asked != begun:
        raise UserError(folder, f"was begun with {begun.text}, seed {begun.seed}", "give the same, or only --continue")
    return begun
