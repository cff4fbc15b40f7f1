from __future__ import annotations

import torch

from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.training.trainer import prepare
from tests.tiny import plan_of
from tests.toys import QUICK, ToyTrainer


def test_prepare_gives_fresh_networks_in_training_mode(tiny_work: WorkFolder) -> None:
    trainer = ToyTrainer(plan_of(tiny_work, 2), QUICK)
    context = prepare(trainer, trainer.shape(), Precision(), torch.device("cpu"), step=4)
    assert context.networks["network"].training
    assert context.step == 4
    assert set(context.updater.optimisers) == {"network"}
