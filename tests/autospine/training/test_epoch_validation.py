from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.training.data import Batch, Batches
from autospine.training.epoch_validation import (
    SECONDS_PER_EPOCH,
    VALIDATION_BATCHES,
    fixed_batches,
    patch_scores,
    scores_of,
    validation_patches,
    validation_seconds,
)
from autospine.training.loading import make_batches
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.optimisation import OptimizerStep
from autospine.training.trainer import Context
from tests.tiny import IDS, SHAPE, make_job, ordered_encoding, plan_of
from tests.toys import QUICK, ToyTrainer

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_scores_agree_with_scikit_learn(seed: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    reference = generator.integers(0, classes, 200)
    predicted = np.where(generator.random(200) < 0.6, reference, generator.integers(0, classes, 200))
    confusion = sklearn_metrics.confusion_matrix(reference, predicted, labels=range(classes))
    scores = scores_of(torch.from_numpy(confusion))
    shown = sorted((set(reference) | set(predicted)) - {0})
    settings = {"labels": shown, "average": "macro"}
    assert scores.dice == pytest.approx(sklearn_metrics.f1_score(reference, predicted, **settings))
    assert scores.iou == pytest.approx(sklearn_metrics.jaccard_score(reference, predicted, **settings))
    assert scores.accuracy == pytest.approx(sklearn_metrics.accuracy_score(reference, predicted))


def test_classes_that_nobody_shows_do_not_count() -> None:
    confusion = torch.zeros(4, 4, dtype=torch.int64)
    confusion[0, 0], confusion[2, 2] = 5, 5
    assert scores_of(confusion).dice == 1
    nothing = torch.zeros(3, 3, dtype=torch.int64)
    assert scores_of(nothing).dice == scores_of(nothing).accuracy == 0


class Fixed(nn.Module):
    """Answers what it was given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


def test_patches_count_together_and_voxels_without_annotation_do_not() -> None:
    encoding = ordered_encoding()
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, encoding.ignore_index + 1, (2, 9, 7), generator=generator)
    logits = torch.randn((2, encoding.channels, 9, 7), generator=generator)
    logits[:, encoding.semantic_channels :] += 100  # offsets and levels are no classes
    network = Fixed(logits)
    loss = MultiTaskLoss(encoding, (1, 2), DiceCrossEntropy())
    context = Context({}, loss, OptimizerStep({}, {}, {}, Precision()), Precision(), torch.device("cpu"), 0)
    nothing = torch.zeros(2, 1)
    batch = Batch(torch.zeros(2, 1, 9, 7), labels, nothing, nothing, torch.ones(len(labels), 2))
    scores = patch_scores(network, encoding, context, [batch, batch])
    reference = torch.from_numpy(encoding.class_of_index())[labels].numpy().ravel()
    predicted = logits[:, : encoding.semantic_channels].argmax(1).numpy().ravel()
    known = reference >= 0
    expected = sklearn_metrics.f1_score(
        reference[known], predicted[known], labels=range(1, encoding.semantic_channels), average="macro"
    )
    assert scores.dice == pytest.approx(expected)


class Pointwise(nn.Module):
    """Answers each voxel by itself, and notes how many patches it was given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, channels, 1)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return self.layer(x)


def test_a_batch_too_large_for_the_memory_is_scored_in_parts() -> None:
    encoding = ordered_encoding()
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, encoding.ignore_index + 1, (5, 9, 7), generator=generator)
    nothing = torch.zeros(5, 1)
    batch = Batch(torch.randn((5, 1, 9, 7), generator=generator), labels, nothing, nothing, torch.ones(len(labels), 2))
    network = Pointwise(encoding.channels)
    loss = MultiTaskLoss(encoding, (1, 2), DiceCrossEntropy())
    context = Context({}, loss, OptimizerStep({}, {}, {}, Precision()), Precision(), torch.device("cpu"), 0)
    with torch.inference_mode():
        whole = patch_scores(network, encoding, context, [batch])
        divided = patch_scores(network, encoding, replace(context, micro_batches=3), [batch])
    assert network.seen == [5, 1, 2, 2]
    assert divided == whole


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
