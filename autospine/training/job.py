"""One training: which cases, where, for how long."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from autospine.planning.splits import Fold
from autospine.training.data import Loader
from autospine.training.start import Start


@dataclass(frozen=True)
class TrainingJob:
    """What the command line asked for, for one fold."""

    work: Path
    folder: Path  # the model's folder
    cases: Path  # folder of the preprocessed cases
    fold: Fold  # who trains, who validates
    fold_name: str  # "0", "1", ... or "all"
    device: torch.device  # where
    seed: int = 0  # of weights and batches
    minutes: float | None = None  # for the whole fold, validation included; None trains the recipe's epochs
    epochs: int | None = None  # instead of the recipe's; None keeps them
    resume: bool = False  # continue what is there
    compile: bool = False  # use torch.compile
    tensorboard: bool = False  # log there too
    workers: int = 2  # batches that are made at once
    loader: Loader = "auto"  # how, see `loading.make_batches`
    # How often each data set is sampled, where several are joined; those that are not named have 1.
    source_weights: tuple[tuple[str, float], ...] = ()
    start: Start | None = None  # the model whose weights it starts from; None for fresh ones
    started: float = field(default_factory=time.monotonic)  # monotonic seconds at the fold's start

    @property
    def checkpoint(self) -> Path:
        """Return the file of everything that a continued training needs."""
        return self.folder / "checkpoint.pt"

    @property
    def already(self) -> str:
        """Return what is said of a training that is finished, and of what would lengthen it."""
        hint = "" if self.minutes is None else ": --minutes adds nothing to it, --epochs N goes on to epoch N"
        return f"is trained already{hint}"

    def seconds_left(self) -> float:
        """Return the seconds left of the budget; infinite without one."""
        if self.minutes is None:
            return float("inf")
        return self.minutes * 60 - (time.monotonic() - self.started)


def seed_everything(seed: int, step: int, rank: int) -> None:
    """Make whatever is random in a step (dropout, augmentation) a function of seed, step and process."""
    text = f"{seed} {step} {rank}".encode()
    torch.manual_seed(int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big"))
