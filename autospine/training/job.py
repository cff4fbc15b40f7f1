"""One training: which cases, where, for how long."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from autospine.planning.splits import Fold
from autospine.training.data import Loader


@dataclass(frozen=True)
class Job:
    """What the command line asked for, for one fold.

    Attributes:
        work: The work folder.
        folder: The model's folder.
        cases: Folder of the preprocessed cases.
        fold: Who trains, who validates.
        fold_name: "0", "1", ... or "all".
        device: Where.
        seed: Of weights and batches.
        minutes: For the whole fold, validation included; None trains the recipe's epochs.
        epochs: Instead of the recipe's; None keeps them.
        resume: Continue what is there.
        compile: Use torch.compile.
        tensorboard: Log there too.
        workers: Batches that are made at once.
        loader: Whether in threads or in processes.
        started: Monotonic seconds at the fold's start.
    """

    work: Path
    folder: Path
    cases: Path
    fold: Fold
    fold_name: str
    device: torch.device
    seed: int = 0
    minutes: float | None = None
    epochs: int | None = None
    resume: bool = False
    compile: bool = False
    tensorboard: bool = False
    workers: int = 2
    loader: Loader = "threads"
    started: float = field(default_factory=time.monotonic)

    @property
    def checkpoint(self) -> Path:
        """Return the file of everything that a continued training needs."""
        return self.folder / "checkpoint.pt"

    def seconds_left(self) -> float:
        """Return the seconds left of the budget; infinite without one."""
        if self.minutes is None:
            return float("inf")
        return self.minutes * 60 - (time.monotonic() - self.started)


def seed_everything(seed: int, step: int, rank: int) -> None:
    """Make whatever is random in a step (dropout, augmentation) a function of seed, step and process."""
    text = f"{seed} {step} {rank}".encode()
    torch.manual_seed(int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big"))
