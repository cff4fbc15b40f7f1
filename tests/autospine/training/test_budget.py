from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.networks.shape import NetworkShape
from autospine.training import budget, epoch_validation
from autospine.training.around import REST, Around
from autospine.training.budget import (
    TrainingBudget,
    ValidationCost,
    choose_budget,
    divided,
    duration,
    length_within,
)
from autospine.training.data import Batches
from autospine.training.epoch_validation import validation_seconds
from autospine.training.job import TrainingJob
from autospine.training.loading import make_batches
from autospine.training.profiling import StepTime, TooLargeError
from tests.tiny import make_job, plan_of
from tests.toys import QUICK, ToyTrainer

NOTHING_AFTER = ValidationCost(0, 0)
OVERHEAD = REST


@pytest.fixture
def trainer(tiny_work: WorkFolder) -> ToyTrainer:
    return ToyTrainer(plan_of(tiny_work, 2), replace(QUICK, min_updates=100))


@pytest.fixture
def job(tiny_work: WorkFolder, trainer: ToyTrainer, tmp_path: Path) -> TrainingJob:
    return make_job(tiny_work, trainer.plan, tmp_path, minutes=1.0)


@pytest.fixture
def batches(trainer: ToyTrainer, job: TrainingJob) -> Batches:
    return make_batches(trainer, job, job.fold.train, 0)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[object, float]:
    """A clock that says what the test wants, by width or by precision; and a minute that does not pass."""
    told: dict[object, float] = {}

    def fake(
        trainer: object, shape: NetworkShape, precision: Precision, batch: object, device: torch.device
    ) -> StepTime:
        return StepTime(told.get(precision, told.get(shape.widths[0], 0.01)), told.get("forward", 0.0))

    monkeypatch.setattr(budget, "time_step", fake)
    monkeypatch.setattr(budget, "time_around", lambda *_: Around(0.0, 0.0, overlaps=False))
    monkeypatch.setattr(TrainingJob, "seconds_left", lambda self: self.minutes * 60)
    monkeypatch.setattr(epoch_validation, "SECONDS_PER_EPOCH", 1e-6)  # pictures that cost nothing
    return told


def test_the_widest_network_that_gets_enough_updates_is_taken(trainer, job, batches, seconds) -> None:
    enough = 60 / 100 / OVERHEAD
    seconds.update({2: enough / 9, 4: enough * 0.99, 8: enough * 1.01})
    found = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
    assert found.shape.widths == (4, 8)
    assert found.iterations * found.seconds_per_iteration * OVERHEAD <= 60
    assert found.iterations >= 100 - found.iterations_per_epoch
    assert found.iterations % found.iterations_per_epoch == 0


def test_where_all_get_enough_it_is_the_widest_of_all(trainer, job, batches, seconds) -> None:
    assert choose_budget(trainer, batches, job, NOTHING_AFTER, 0).shape.widths == (8, 16)


def test_few_updates_are_warned_about(trainer, job, batches, seconds, caplog) -> None:
    seconds[2] = 60 / 40 / OVERHEAD
    steps = choose_budget(trainer, batches, job, NOTHING_AFTER, 0).iterations
    assert f"{steps} updates are few: expect rough masks, or give more --minutes" in caplog.text


def test_where_none_gets_enough_it_is_the_narrowest(trainer, job, batches, seconds) -> None:
    seconds.update({2: 10.0, 4: 20.0, 8: 30.0})
    found = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
    assert found.shape.widths == (2, 4)
    assert found.iterations == 5


def test_a_budget_that_is_spent_already_still_trains_a_little(trainer, job, batches, seconds) -> None:
    seconds.update({2: 1000.0})
    found = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
    assert 1 <= found.iterations_per_epoch <= found.iterations <= 2


def test_the_validation_is_paid_for_out_of_the_budget(trainer, job, batches, seconds) -> None:
    alone = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
    with_cases = choose_budget(trainer, batches, job, ValidationCost(0, 20), 0)
    spent = 20 * budget.SECONDS_PER_CASE
    assert with_cases.iterations == pytest.approx(alone.iterations * (60 - spent) / 60, rel=0.05)


def test_windows_are_paid_for_by_what_a_forward_pass_takes(trainer, job, batches, seconds) -> None:
    """However long an update takes: that of a GAN is many times as long as its generator's forward pass."""
    alone = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
    seconds["forward"] = 0.05
    spent = 300 * 0.05 * budget.AROUND_FORWARD
    found = choose_budget(trainer, batches, job, ValidationCost(300, 0), 0)
    assert found.iterations == pytest.approx(alone.iterations * (60 - spent) / 60, rel=0.05)


@pytest.mark.parametrize("forward", [0.0005, 0.02, 0.3])
def test_the_looks_after_the_epochs_are_paid_for_and_few(trainer, job, batches, seconds, forward: float) -> None:
    """As for whole volumes, where a look at 72 of them takes many times as long as an update."""
    seconds.update({2: 0.2, 4: 99.0, "forward": forward})
    found = choose_budget(trainer, batches, job, NOTHING_AFTER, 72)
    epochs = found.iterations // found.iterations_per_epoch
    updating, looking = found.iterations * 0.2 * OVERHEAD, epochs * validation_seconds(72, forward)
    assert 0.9 * 60 < updating + looking <= 60
    few = epochs <= budget.FEW_EPOCHS
    share = budget.SHARE_OF_FEW if few else budget.VALIDATION_SHARE
    assert looking <= share * updating * 1.1 or epochs == 1


def test_the_looks_are_part_of_what_epochs_are_said_to_take(trainer, job, batches, seconds, caplog) -> None:
    seconds.update({4: 2.0, "forward": 1.0})
    caplog.set_level("INFO")
    choose_budget(trainer, batches, replace(job, minutes=None, epochs=1), NOTHING_AFTER, 72)
    total = 3 * 2 * REST + validation_seconds(72, 1.0)
    assert f"1 epochs of 3 updates, 2.00 s each: about {duration(total)}" in caplog.text


@pytest.mark.parametrize("updates", [1, 2, 5, 39, 41, 45, 59, 100, 1234])
@pytest.mark.parametrize("most", [1, 3, 20])
def test_epochs_leave_hardly_an_update_over(updates: int, most: int) -> None:
    per_epoch, epochs = divided(updates, most)
    assert min(most, updates) / 2 <= epochs <= most
    assert 0.95 * updates - 1 <= per_epoch * epochs <= updates


@pytest.mark.parametrize(("look", "epochs"), [(0.1, 20), (1.0, 14), (2.0, 7), (7.0, 5), (12.0, 3), (50.0, 1)])
def test_dear_looks_make_fewer_epochs(look: float, epochs: int) -> None:
    """Of 300 s; a few are kept for the sake of the checkpoints."""
    updates, found = length_within(300.0, 1.0, look)
    assert found == epochs
    assert updates == int(300 - epochs * look)


def test_a_time_that_is_spent_is_enough_for_no_update() -> None:
    updates, epochs = length_within(-5.0, 0.2, 1.0)
    assert updates <= 0
    assert epochs == 1


def test_a_network_that_the_memory_does_not_hold_is_not_taken(
    trainer, job, batches, seconds, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    told, largest = budget.time_step, 4

    def time_step(trainer, shape, *others) -> StepTime:
        if shape.widths[0] > largest:
            raise TooLargeError("--trainer toy", "needs 9 GiB", "plan again")
        return told(trainer, shape, *others)

    caplog.set_level("INFO")
    monkeypatch.setattr(budget, "time_step", time_step)
    assert choose_budget(trainer, batches, job, NOTHING_AFTER, 0).shape.widths == (4, 8)
    assert "widths (8, 16): more than the memory holds" in caplog.text
    largest = 1
    with pytest.raises(TooLargeError):
        choose_budget(trainer, batches, job, NOTHING_AFTER, 0)


def test_the_quickest_format_is_taken_if_it_is_worth_it(
    trainer, job, batches, seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, half, last = Precision(), Precision("bfloat16"), Precision("bfloat16", True)
    monkeypatch.setattr(budget, "precisions", lambda device: (plain, half, last))
    for times, expected in (
        ({plain: 1.0, half: 0.5, last: 0.3}, last),
        ({plain: 1.0, half: 0.5, last: 0.499}, half),
        ({plain: 1.0, half: 0.99, last: 1.2}, plain),
    ):
        monkeypatch.setattr(budget.StepTimer, "seconds", lambda self, times=times: times[self.context.precision])
        found = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
        assert found.precision == expected


@pytest.mark.parametrize("usual", [Precision(), Precision("bfloat16")])
def test_without_minutes_no_clock_decides_the_format(
    trainer, job, batches, seconds, monkeypatch: pytest.MonkeyPatch, usual: Precision
) -> None:
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(), Precision("bfloat16")))
    monkeypatch.setattr(budget, "usual_precision", lambda device: usual)
    monkeypatch.setattr(budget.StepTimer, "seconds", lambda self: pytest.fail("looked at the clock"))
    found = choose_budget(trainer, batches, replace(job, minutes=None), NOTHING_AFTER, 0)
    assert found.precision == usual


def test_without_a_budget_the_recipe_or_the_user_says_how_long(trainer, job, batches, seconds) -> None:
    job = replace(job, minutes=None)
    found = choose_budget(trainer, batches, job, NOTHING_AFTER, 0)
    assert (found.iterations, found.iterations_per_epoch) == (6, 3)
    assert found.shape == trainer.shape()
    assert choose_budget(trainer, batches, replace(job, epochs=5), NOTHING_AFTER, 0).iterations == 15


def test_without_a_number_an_epoch_is_a_pass_over_the_slices(trainer, job, batches, seconds) -> None:
    trainer.recipe = replace(QUICK, iterations_per_epoch=None)
    found = choose_budget(trainer, batches, replace(job, minutes=None), NOTHING_AFTER, 0)
    assert found.iterations_per_epoch == 4 * 6 // 2  # four cases of six slices, two at once


def test_a_budget_survives_the_checkpoint(trainer) -> None:
    from autospine.core.serial import from_plain, to_plain

    made = TrainingBudget(trainer.shape(), Precision("bfloat16", True), 40, 2, 0.25)
    assert from_plain(TrainingBudget, to_plain(made), "checkpoint.pt") == made


@pytest.mark.parametrize(
    ("seconds_", "said"), [(12, "12 s"), (89.6, "90 s"), (600, "10 min"), (7200, "2.0 h"), (5400, "1.5 h")]
)
def test_durations_as_a_person_says_them(seconds_: float, said: str) -> None:
    assert duration(seconds_) == said
