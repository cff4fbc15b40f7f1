"""A training that is killed with SIGKILL; TrainerContract starts it in a process of its own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from autospine.core import registry
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.training import budget, loop
from tests.conftest import TOYS
from tests.contracts.trainer import KILLED_AT
from tests.tiny import make_job
from tests.toys import dies_at


def main() -> None:
    work, folder, dimension = WorkFolder(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    registry.BUILT_IN["trainers"] |= {toy: f"tests.toys:{kind}" for toy, kind in TOYS.items()}
    module, _, name = os.environ["TRAINER"].partition(":")
    contract = getattr(import_module(module), name)()
    trainer = contract.make(work, dimension)
    trainer.__class__ = dies_at(type(trainer), KILLED_AT)
    budget.precisions = lambda device: (Precision(),)
    loop.CHECKPOINT_SECONDS = 0.0
    loop.fit(trainer, make_job(work, trainer.plan, folder))


if __name__ == "__main__":
    main()
