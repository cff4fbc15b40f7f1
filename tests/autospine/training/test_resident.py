from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.machine import Machine
from autospine.core.workspace import WorkFolder
from autospine.training import loading
from autospine.training.data import Batches
from autospine.training.resident import ResidentBatches, gib_of
from tests.autospine.training.test_data import same, sampler_of
from tests.tiny import IDS, make_job, plan_of
from tests.toys import ToyTrainer

CPU = torch.device("cpu")


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("above", [False, True])
def test_batches_are_those_that_are_read(tiny_work: WorkFolder, dimension: int, above: bool) -> None:
    """Patches inside the case and beyond it, with rows that are not annotated."""
    sampler = sampler_of(tiny_work, dimension)
    for patch in (sampler.size, dict.fromkeys(sampler.size, 90)):
        sampler.size = dict(patch)
        sampler.encoding = replace(sampler.encoding, partial_annotation_above=above)
        read, held = Batches(sampler, 3, 7), ResidentBatches(sampler, 3, 7, 0, CPU)
        assert all(same(one, other) for one, other in zip(read.iterate(2, 6), held.iterate(2, 6), strict=True))
        assert same(read.with_seed(1).make(4), held.with_seed(1).make(4))
        assert held.make(0).labels.dtype == read.make(0).labels.dtype


def test_the_memory_of_cases(tiny_work: WorkFolder) -> None:
    sampler = sampler_of(tiny_work, 2)
    voxels = sum(int(np.prod(store.record.shape)) for store in sampler.stores)
    assert gib_of(sampler) == voxels * 3 / 2**30
    held = ResidentBatches(sampler, 2, 0, 0, CPU)
    assert sum(tensor.nbytes for case in held.cases for tensor in case) == voxels * 3


@pytest.mark.parametrize(
    ("asked", "device", "gib", "expected"),
    [
        ("auto", "cpu", 1.0, "threads"),
        ("auto", "mps", 1.0, "threads"),
        ("auto", "cuda", 1.0, "memory"),
        ("auto", "cuda", 1e-6, "processes"),
        ("memory", "cpu", 1.0, "memory"),
        ("threads", "cuda", 1.0, "threads"),
        ("processes", "cpu", 1.0, "processes"),
    ],
)
def test_how_batches_are_made(
    work: WorkFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    device: str,
    gib: float,
    expected: str,
) -> None:
    monkeypatch.setattr(loading, "find_machine", lambda name, memory: Machine(name, gib, 1))
    trainer = ToyTrainer(plan_of(work, 2), ToyTrainer.recipe_named(None))
    asked_job = make_job(work, trainer.plan, tmp_path, loader=asked, device=torch.device(device))
    assert loading._loader(sampler_of(work, 2), asked_job) == expected


def test_a_memory_that_is_too_small_is_one_line(
    work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "find_machine", lambda name, memory: Machine(name, 1e-6, 1))
    trainer = ToyTrainer(plan_of(work, 2), ToyTrainer.recipe_named(None))
    asked = make_job(work, trainer.plan, tmp_path, loader="memory")
    with pytest.raises(UserError, match=r"--loader memory: 4 cases need .* are free for them; use --loader processes"):
        loading.make_batches(trainer, asked, IDS[:4], 0)
