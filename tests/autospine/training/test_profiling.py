from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autospine.core.machine import SHARE_OF_MEMORY, Machine
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.networks.shape import NetworkShape
from autospine.networks.unetplusplus import UNetPlusPlus
from autospine.planning.memory import FIXED_GIB
from autospine.training import budget, profiling
from autospine.training.checkpoint import load_checkpoint
from autospine.training.data import Batch, Batches
from autospine.training.job import TrainingJob
from autospine.training.loading import make_batches
from autospine.training.loop import fit
from autospine.training.profiling import (
    BACKWARD_FACTOR,
    StepTime,
    StepTimer,
    TooLargeError,
    kept_bytes,
    micro_batches_that_fit,
    repeated,
    time_step,
)
from autospine.training.trainer import Context, Trainer, prepare
from tests.tiny import make_job, plan_of
from tests.toys import QUICK, GanTrainer, ToyTrainer

CPU = torch.device("cpu")
RECIPE = replace(
    QUICK, batch=4, learns="classes", loss_weights={"dice": 0.0}, ema_decay=0.0, iterations_per_epoch=1, epochs=1
)


@pytest.fixture
def trainer(tiny_work: WorkFolder) -> ToyTrainer:
    return ToyTrainer(plan_of(tiny_work, 2), RECIPE)


@pytest.fixture
def job(tiny_work: WorkFolder, trainer: ToyTrainer, tmp_path: Path) -> TrainingJob:
    return make_job(tiny_work, trainer.plan, tmp_path, minutes=1.0)


@pytest.fixture
def batches(trainer: ToyTrainer, job: TrainingJob) -> Batches:
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


@pytest.fixture
def batch(tiny_work: WorkFolder, trainer: ToyTrainer, tmp_path: Path) -> Batch:
    job = make_job(tiny_work, trainer.plan, tmp_path)
    return make_batches(trainer, job, job.fold.train, 0).make(0)


def fresh(trainer: Trainer, count: int = 1) -> Context:
    torch.manual_seed(0)
    return prepare(trainer, trainer.shape(), Precision(), CPU, micro_batches=count)


def room_for(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    """A machine with that much memory beside what a training always needs."""
    monkeypatch.setattr(profiling, "find_machine", lambda device, memory: Machine(device, gib + FIXED_GIB, 1))


@given(st.integers(1, 9), st.integers(1, 12))
def test_parts_are_the_batch_in_order_and_even(total: int, count: int) -> None:
    numbers = torch.arange(total)
    batch = Batch(*(numbers.view(-1, *[1] * dims) for dims in (3, 2, 2, 1, 1)))
    micro_batches = list(batch.split(count))
    assert torch.cat([micro_batch.images for micro_batch in micro_batches]).ravel().tolist() == numbers.tolist()
    assert torch.cat([micro_batch.spacing for micro_batch in micro_batches]).ravel().tolist() == numbers.tolist()
    sizes = [len(micro_batch.labels) for micro_batch in micro_batches]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert len(micro_batches) == min(count, total)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_update_is_the_whole_batchs(trainer: ToyTrainer, batch: Batch, count: int) -> None:
    """Where nothing looks at the batch as a whole: instance norm, cross-entropy."""
    contexts = [fresh(trainer), fresh(trainer, count)]
    terms = [trainer.training_step(context, batch) for context in contexts]
    torch.testing.assert_close(terms[0]["loss"], terms[1]["loss"])
    whole, divided = (context.networks["network"] for context in contexts)
    for one, other in zip(whole.parameters(), divided.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-6)


def test_only_one_part_is_held_at_a_time(trainer: ToyTrainer, batch: Batch) -> None:
    context, seen = fresh(trainer, 4), []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | list[Tensor]) -> None:
        seen.append(len(inputs[0]))
        finest = output if isinstance(output, Tensor) else output[0]
        finest.register_hook(lambda gradient: seen.append(0))

    context.networks["network"].register_forward_hook(watch)
    trainer.training_step(context, batch)
    assert seen == [1, 0] * 4


def test_kept_bytes_grow_with_the_batch_and_not_with_the_weights(trainer: ToyTrainer, batch: Batch) -> None:
    context = fresh(trainer)
    one, two = (kept_bytes(trainer, context, batch.patches(0, count)) for count in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.1)
    wide = replace(trainer.shape(), widths=tuple(2 * width for width in trainer.shape().widths))
    wider = kept_bytes(trainer, prepare(trainer, wide, Precision(), CPU), batch.patches(0, 1))
    assert one < wider < 2.2 * one
    assert one > batch.patches(0, 1).images.numel() * 4 * (trainer.shape().widths[0] + trainer.encoding.channels)


def test_as_many_parts_as_the_memory_asks_for(
    trainer: ToyTrainer, batch: Batch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = fresh(trainer)
    weights = 20 * sum(p.numel() for p in context.networks["network"].parameters())
    each = BACKWARD_FACTOR * kept_bytes(trainer, context, batch.patches(0, 1))
    caplog.set_level("INFO")
    for patches, expected in ((4.01, 1), (3.99, 2), (2.01, 2), (1.99, 4), (0.1, 4)):
        room_for(monkeypatch, (patches * each + weights) / 2**30)
        assert micro_batches_that_fit(trainer, context, trainer.shape(), batch) == expected
    assert "divided into 4 micro-batches, whose patches are all that batch normalisation sees at once" in caplog.text


def test_the_planners_batch_and_steps_of_ones_own_are_left_alone(
    trainer: ToyTrainer, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, 0.0)
    gan = GanTrainer(trainer.plan, replace(GanTrainer.recipes["quick"], batch=4))
    planned = ToyTrainer(trainer.plan, replace(RECIPE, batch=None))
    assert micro_batches_that_fit(trainer, fresh(trainer), trainer.shape(), batch) == 4
    assert micro_batches_that_fit(gan, fresh(gan), gan.shape(), batch) == 1
    assert micro_batches_that_fit(planned, fresh(planned), planned.shape(), batch) == 1


class NestedTrainer(ToyTrainer):
    """Not the network that the planner has fitted to the memory."""

    def build(self, shape: NetworkShape) -> nn.Module:
        return UNetPlusPlus(shape)


def test_the_planners_batch_is_divided_where_the_network_is_another(
    trainer: ToyTrainer, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, 0.0)
    nested = NestedTrainer(trainer.plan, replace(RECIPE, batch=None))
    patched = ToyTrainer(trainer.plan, replace(RECIPE, batch=None, patch=trainer.plan.network_patch))
    assert micro_batches_that_fit(nested, fresh(nested), nested.shape(), batch) == 4
    assert micro_batches_that_fit(patched, fresh(patched), patched.shape(), batch) == 4
    room_for(monkeypatch, 100.0)
    assert micro_batches_that_fit(nested, fresh(nested), nested.shape(), batch) == 1


def test_a_budget_divides_the_planners_batch_too(
    tiny_work: WorkFolder, trainer: ToyTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    room_for(monkeypatch, 0.0)
    nested = NestedTrainer(trainer.plan, replace(RECIPE, batch=None))
    job = make_job(tiny_work, nested.plan, tmp_path)
    batches = make_batches(nested, job, job.fold.train, 0)
    assert budget.choose_budget(nested, batches, job, budget.ValidationCost(0, 0), 0).micro_batches == 2


def test_one_patch_that_the_device_does_not_hold_is_refused(
    trainer: ToyTrainer, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the share that training takes is no reason yet."""
    context = fresh(trainer)
    whole = SHARE_OF_MEMORY * 100
    monkeypatch.setattr(profiling, "find_machine", lambda device, memory: Machine(device, whole, 1))
    for gib, fits in ((98.0, True), (100.0, False)):
        kept = (gib - FIXED_GIB) / BACKWARD_FACTOR * 2**30
        monkeypatch.setattr(profiling, "kept_bytes", lambda *asked, kept=kept: int(kept))
        if fits:
            assert micro_batches_that_fit(trainer, context, trainer.shape(), batch) == 4
            continue
        with pytest.raises(TooLargeError, match=r"toy: needs 100\.0 GiB at widths .*has 100\.0; plan again"):
            micro_batches_that_fit(trainer, context, trainer.shape(), batch)


def test_a_training_in_parts_goes_on_in_parts(
    tiny_work: WorkFolder, trainer: ToyTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a machine with more memory, since it shall end in the same weights."""
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    room_for(monkeypatch, 0.0)
    job = make_job(tiny_work, trainer.plan, tmp_path)
    fit(trainer, job)
    assert load_checkpoint(job.checkpoint, CPU)["budget"]["micro_batches"] == 4
    room_for(monkeypatch, 100.0)
    seen: list[int] = []

    class Watched(ToyTrainer):
        def training_step(self, context, batch):
            seen.append(context.micro_batches)
            return super().training_step(context, batch)

    fit(Watched(trainer.plan, RECIPE), replace(job, resume=True, epochs=2))
    assert seen == [4]
