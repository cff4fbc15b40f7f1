from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.training import around
from autospine.training.around import REST, Around, time_around
from autospine.training.data import Batch, Batches
from tests.autospine.training.test_data import sampler_of
from tests.tiny import plan_of
from tests.toys import QUICK, ToyTrainer


def test_a_gpu_works_while_batches_are_made_and_a_cpu_makes_them_itself() -> None:
    assert Around(made=0.2, augmented=0.1, overlaps=True).update(0.5) == pytest.approx(0.5 * REST + 0.1)
    assert Around(made=0.9, augmented=0.1, overlaps=True).update(0.5) == 0.9
    assert Around(made=0.2, augmented=0.1, overlaps=False).update(0.5) == pytest.approx(0.5 * REST + 0.3)


def test_it_is_measured(tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes one second further at every batch and seven at every augmentation."""
    now = [0.0]

    class Slow(Batches):
        def iterate(self, first: int, last: int) -> Iterator[Batch]:
            for step in range(first, last):
                now[0] += 1
                yield self.make(step)

    def augmented(trainer: object, batch: Batch, precision: Precision) -> Batch:
        now[0] += 7
        return batch

    monkeypatch.setattr(around.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(around, "augmented", augmented)
    trainer = ToyTrainer(plan_of(tiny_work, 2), replace(QUICK))
    found = time_around(trainer, Slow(sampler_of(tiny_work, 2), 2, 0), Precision(), torch.device("cpu"))
    assert found == Around(1.0, 7.0, overlaps=False)
