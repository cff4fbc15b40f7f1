from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.core.workspace import WorkFolder
from autospine.training.data import Batch, Batches
from autospine.training.epoch_validation import (
    SECONDS_PER_EPOCH,
    VALIDATION_BATCHES,
    fixed_batches,
    validation_patches,
    validation_seconds,
)
from autospine.training.loop import make_batches
from tests.tiny import IDS, SHAPE, make_job, plan_of
from tests.toys import QUICK, ToyTrainer

WHOLE = {2: (80, 48), 3: (8, 80, 48)}  # a patch larger than any case


def batches_of(
    work: WorkFolder,
    folder: Path,
    ids: tuple[str, ...],
    size: int,
    dimension: int,
    patch: tuple[int, ...] | None,
) -> Batches:
    trainer = ToyTrainer(plan_of(work, dimension), replace(QUICK, batch=size, patch=patch))
    return make_batches(trainer, make_job(work, trainer.plan, folder), ids, 7)


def shown(batches: list[Batch]) -> set[bytes]:
    return {image.numpy().tobytes() for batch in batches for image in batch.images}


@pytest.mark.parametrize(("dimension", "images"), [(2, 3 * SHAPE[0]), (3, 3)])
def test_images_that_a_patch_holds_are_each_looked_at_once(
    tiny_work: WorkFolder, tmp_path: Path, dimension: int, images: int
) -> None:
    batches = batches_of(tiny_work, tmp_path, IDS[:3], 8, dimension, WHOLE[dimension])
    found = list(fixed_batches(batches, VALIDATION_BATCHES))
    assert sum(len(batch.images) for batch in found) == len(shown(found)) == images
    drawn = [batches.make(k) for k in range(9)]
    assert shown(drawn) <= shown(found)  # placed as they are in training
    first, again = (torch.cat([b.labels for b in each]) for each in (found, fixed_batches(batches, 6)))
    assert torch.equal(first, again)


@pytest.mark.parametrize(("size", "patch"), [(2, WHOLE[2]), (8, (32, 32)), (8, None)])
def test_elsewhere_fixed_patches_are_drawn(
    tiny_work: WorkFolder, tmp_path: Path, size: int, patch: tuple[int, ...] | None
) -> None:
    batches = batches_of(tiny_work, tmp_path, IDS[:3], size, 2, patch)
    found = list(fixed_batches(batches, 4))
    assert [len(batch.images) for batch in found] == [size] * 4
    assert torch.equal(found[2].images, batches.make(2).images)


def test_what_a_look_takes(tiny_work: WorkFolder, tmp_path: Path) -> None:
    few = batches_of(tiny_work, tmp_path, IDS[:3], 8, 3, WHOLE[3])
    many = batches_of(tiny_work, tmp_path, IDS[:3], 8, 3, None)
    assert validation_patches(few, few) == 6
    assert validation_patches(few, many) == 3 + 6 * 8
    assert validation_patches(many, few) == 3 * 8 + 3
    assert validation_seconds(0, 2.0) == SECONDS_PER_EPOCH
    assert validation_seconds(10, 2.0) > 20
