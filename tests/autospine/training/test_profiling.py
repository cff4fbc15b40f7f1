from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.training import profiling
from autospine.training.data import Batches
from autospine.training.job import Job
from autospine.training.loop import make_batches
from autospine.training.profiling import StepTime, StepTimer, repeated, time_step
from tests.tiny import make_job, plan_of
from tests.toys import QUICK, GanTrainer, ToyTrainer


@pytest.fixture
def trainer(tiny_work: WorkFolder) -> ToyTrainer:
    return ToyTrainer(plan_of(tiny_work, 2), QUICK)


@pytest.fixture
def job(tiny_work: WorkFolder, trainer: ToyTrainer, tmp_path: Path) -> Job:
    return make_job(tiny_work, trainer.plan, tmp_path, minutes=1.0)


@pytest.fixture
def batches(trainer: ToyTrainer, job: Job) -> Batches:
    return make_batches(trainer, job, job.fold.train, 0)


def test_time_step_trains_every_network_and_takes_the_median(
    tiny_work, job, batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = GanTrainer(plan_of(tiny_work, 2), GanTrainer.recipes["quick"])
    updates = [0, 9, 10, 12, 20, 21, 30, 37]  # of 9 (warm), 2, 1 and 7 s: that is long, and enough
    forward = [40, 49, 50, 51, 60, 62, 70, 74]  # of both patches of the batch
    ticks = iter([t / 2 for t in updates + forward])
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: next(ticks))
    batch = make_batches(trainer, job, job.fold.train, 0).make(0)
    assert len(batch.images) == 2
    found = time_step(trainer, trainer.shape(), Precision(), batch, job.device)
    assert found == StepTime(update=1.0, forward=0.5)


@pytest.mark.parametrize(("seconds_", "rounds"), [((0.1, 0.2), 3), ((6.0, 7.0), 2), ((40.0, 50.0), 1)])
def test_what_takes_long_is_timed_less_often(seconds_: tuple[float, float], rounds: int) -> None:
    found = repeated(lambda: list(seconds_), torch.device("cpu"))
    assert found == [(seconds_[0],) * rounds, (seconds_[1],) * rounds]


def test_the_forward_pass_is_that_of_prediction(trainer, job, batches) -> None:
    """Without gradients, in evaluation mode; the network is left in training mode and unchanged."""
    timer = StepTimer(trainer, trainer.shape(), Precision(), batches.make(0), job.device)
    network, modes = timer.context.networks["network"], []
    network.register_forward_hook(lambda module, inputs, output: modes.append((module.training, output)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert timer.forward_seconds() > 0
    ((training, output),) = modes
    assert not training
    assert output.is_inference()
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
