from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.labels.encoding import Encoding, SemanticClass
from autospine.training.data import Batch
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from tests.tiny import ordered_encoding, spine_mask

SPACING = (4.0, 3.0, 2.0)


def batch_of(mask: np.ndarray, encoding: Encoding, view_axis: int | None = None, at: int = 0) -> Batch:
    """One whole case, or its slice `at`, with points measured in the mask."""
    axes = [axis for axis in range(3) if axis != view_axis]
    train_ids = encoding.train_ids(mask, "mask")
    centres = np.full((len(encoding.values) + 2, len(axes)), np.nan, np.float32)
    through = np.zeros(len(centres), np.float32)
    for k in range(1, len(encoding.values) + 1):
        if (train_ids == k).any():
            middle = np.argwhere(train_ids == k).mean(axis=0)
            centres[k] = middle[axes]
            if view_axis is not None:
                through[k] = (middle[view_axis] - at) * SPACING[view_axis]
    labels = train_ids if view_axis is None else train_ids.take(at, axis=view_axis)
    arrays = (np.zeros((1, *labels.shape), np.float32), labels, centres, through)
    spacing = torch.tensor([[SPACING[axis] for axis in axes]])
    return Batch(*(torch.from_numpy(array)[None] for array in arrays), spacing)


def mean_semantic(logits: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy over what counts, written the plain way."""
    return F.cross_entropy(logits.movedim(1, -1)[counts], classes[counts])


@pytest.mark.parametrize("view_axis", [None, 0, 1])
@pytest.mark.parametrize("offset_axes", [(1, 2), (0, 1, 2)])
def test_offsets_lead_exactly_to_the_centroids(view_axis: int | None, offset_axes: tuple[int, ...]) -> None:
    encoding, mask = ordered_encoding(offset_axes=offset_axes, intervertebral_distance_mm=35.0), spine_mask()
    at = {None: 0, 0: 2, 1: 40}[view_axis]
    batch = batch_of(mask, encoding, view_axis, at)
    axes = tuple(axis for axis in range(3) if axis != view_axis)
    offsets = MultiTaskLoss(encoding, axes, DiceCrossEntropy()).offsets(batch.labels.long(), batch)[0].numpy()
    kept = np.indices(mask.shape) if view_axis is None else np.indices(mask.shape).take(at, axis=view_axis + 1)
    values = mask if view_axis is None else mask.take(at, axis=view_axis)
    for value in set(np.unique(values)) - {0}:
        middle = np.argwhere(mask == value).mean(axis=0)
        for part, axis in zip(offsets, offset_axes, strict=True):
            reached = kept[axis] * SPACING[axis] + part * 35.0
            np.testing.assert_allclose(reached[values == value], middle[axis] * SPACING[axis], atol=1e-3)


def perfect_output(batch: Batch, loss: MultiTaskLoss) -> Tensor:
    """Logits that say exactly what the labels say."""
    encoding, labels = loss.encoding, batch.labels.long()
    classes = F.one_hot(loss.class_of[labels].clamp(min=0), encoding.semantic_channels)
    levels = F.one_hot(loss.level_of[labels].clamp(min=0), len(encoding.levels))
    offsets = loss.offsets(labels, batch).nan_to_num()
    parts = (40.0 * classes.movedim(-1, 1), offsets, 40.0 * levels.movedim(-1, 1))
    return torch.cat([part.float() for part in parts], dim=1)


@pytest.mark.parametrize("view_axis", [None, 0])
def test_a_perfect_answer_costs_nothing(view_axis: int | None) -> None:
    encoding = ordered_encoding(intervertebral_distance_mm=30)
    batch = batch_of(spine_mask(), encoding, view_axis, 2)
    axes = tuple(axis for axis in range(3) if axis != view_axis)
    loss = MultiTaskLoss(encoding, axes, DiceCrossEntropy())
    terms = loss(perfect_output(batch, loss), batch)
    assert set(terms) == {"loss", "semantic", "offset", "level"}
    assert all(float(value) == pytest.approx(0, abs=1e-4) for value in terms.values())


def small() -> tuple[Encoding, Batch, Tensor]:
    """Four voxels in a row: background, level 1, level 2, not annotated."""
    chain = SemanticClass("vertebra", (1, 2), (1, 2))
    encoding = Encoding((chain,), (1, 2), (1, 2), intervertebral_distance_mm=10.0)
    centres = torch.full((1, 4, 2), torch.nan)
    centres[0, 1], centres[0, 2] = torch.tensor([0.0, 2.0]), torch.tensor([3.0, 2.0])
    labels = torch.tensor([[[0, 1, 2, 3]]])
    batch = Batch(torch.zeros(1, 1, 1, 4), labels, centres, torch.zeros(1, 4), torch.tensor([[2.0, 5.0]]))
    output = torch.randn((1, 6, 1, 4), generator=torch.Generator().manual_seed(0))
    return encoding, batch, output


def test_every_term_against_a_hand_computation() -> None:
    encoding, batch, output = small()
    loss = MultiTaskLoss(encoding, (1, 2), mean_semantic, offset_weight=2.0, level_weight=0.5)
    terms = loss(output, batch)
    semantic = np.mean(
        [
            -float(output[0, :2, 0, place].log_softmax(0)[wanted])
            for place, wanted in ((0, 0), (1, 1), (2, 1))  # the fourth voxel does not count
        ]
    )
    # row 0, columns 1 and 2; mm over pitch: label 1 lies (0, +1 column), label 2 (+3 rows, 0)
    wanted = torch.tensor([[0.0, 0.5], [0.6, 0.0]])
    difference = (output[0, 2:4, 0, 1:3].T - wanted).abs()
    smooth = torch.where(difference < 0.1, difference**2 / 0.2, difference - 0.05).mean()
    level = np.mean([-float(output[0, 4:, 0, place].log_softmax(0)[k]) for place, k in ((1, 0), (2, 1))])
    assert float(terms["semantic"]) == pytest.approx(semantic, abs=1e-5)
    assert float(terms["offset"]) == pytest.approx(float(smooth), abs=1e-5)
    assert float(terms["level"]) == pytest.approx(level, abs=1e-5)
    assert float(terms["loss"]) == pytest.approx(semantic + 2 * float(smooth) + 0.5 * level, abs=1e-5)


def test_voxels_without_annotation_have_no_gradient() -> None:
    encoding, batch, output = small()
    output.requires_grad_()
    MultiTaskLoss(encoding, (1, 2), DiceCrossEntropy())(output, batch)["loss"].backward()
    assert output.grad is not None
    assert not output.grad[..., 3].any()
    assert output.grad[:, :2, :, :3].any()
    assert not output.grad[:, 2:, :, 0].any()  # background has neither an offset nor a level


def test_a_batch_without_instances_is_finite_and_can_be_learnt_from() -> None:
    encoding, batch, output = small()
    batch = replace(batch, labels=torch.tensor([[[0, 0, 3, 3]]]), centres=torch.full((1, 4, 2), torch.nan))
    output.requires_grad_()
    terms = MultiTaskLoss(encoding, (1, 2), DiceCrossEntropy())(output, batch)
    terms["loss"].backward()
    assert terms["offset"].item() == terms["level"].item() == 0
    assert all(bool(value.isfinite()) for value in terms.values())
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_a_plain_encoding_has_classes_only() -> None:
    encoding, batch, output = small()
    plain = encoding.plain()
    terms = MultiTaskLoss(plain, (1, 2), mean_semantic)(output[:, :3], batch)
    expected = np.mean([-float(output[0, :3, 0, k].log_softmax(0)[k]) for k in range(3)])
    assert set(terms) == {"loss", "semantic"}
    assert float(terms["loss"]) == pytest.approx(expected, abs=1e-5)


def test_coarser_outputs_count_by_halves() -> None:
    encoding = ordered_encoding()
    batch = batch_of(spine_mask(), encoding, 0, 2)
    loss = MultiTaskLoss(encoding, (1, 2), mean_semantic)
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn((1, encoding.channels, 72, 36), generator=generator)
    coarse = torch.randn((1, encoding.channels, 36, 18), generator=generator)
    both, alone = loss([fine, coarse], batch), loss(fine, batch)
    shrunken = replace(batch, labels=batch.labels[:, 1::2, 1::2])
    second = loss(coarse, shrunken)
    expected = (2 * float(alone["semantic"]) + float(second["semantic"])) / 3
    assert float(both["semantic"]) == pytest.approx(expected, abs=1e-5)
    assert float(both["offset"]) == pytest.approx(float(alone["offset"]))
