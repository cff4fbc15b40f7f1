from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autospine.labels.encoding import Encoding, MergedLabel, SemanticClass, SourceAnnotation
from autospine.training.data import Batch
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.marginal import MarginalDiceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss

PARTS = Encoding(
    classes=(
        SemanticClass("vertebral body", (301, 302), (1, 2)),
        SemanticClass("posterior elements", (401, 402), (1, 2), part_of="vertebral body"),
        SemanticClass("disc", (201,)),
    ),
    levels=(1, 2),
    offset_axes=(1, 2),
    ignore_label=255,
    merged=(MergedLabel(1, (1, 2), 1), MergedLabel(2, (1, 2), 2)),
    sources=(SourceAnnotation("bodies", (2, 3)), SourceAnnotation("whole")),
)
MEMBERS = PARTS.members()
TOLD = range(PARTS.ignore_index)  # the train ids of one class
BODY, POSTERIOR, DISC = 1, 3, 5  # train ids
IGNORED, WHOLE, HIDES = PARTS.ignore_index, PARTS.id_of_label()[1], PARTS.background_of("bodies")


def logits_of(seed: int, samples: int = 3) -> Tensor:
    return torch.randn((samples, 4, 5, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ids_of(seed: int, among: list[int], samples: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice(among, (samples, 5, 6)))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.0), (0.0, 2.0)])
@pytest.mark.parametrize("among", [[*TOLD], [*TOLD, IGNORED], [0, BODY], [IGNORED]])
def test_where_all_is_annotated_it_is_dice_and_cross_entropy(weights: tuple[float, float], among: list[int]) -> None:
    logits, ids = logits_of(1), ids_of(2, among)
    classes = torch.from_numpy(PARTS.class_of_index())[ids]
    expected = DiceCrossEntropy(*weights)(logits, classes.clamp(min=0), classes >= 0)
    assert float(MarginalDiceCrossEntropy(MEMBERS, *weights)(logits, ids)) == pytest.approx(float(expected), abs=1e-6)


def test_the_gradient_is_the_same_too() -> None:
    ids = ids_of(3, [*TOLD, IGNORED])
    classes = torch.from_numpy(PARTS.class_of_index())[ids]
    one, other = logits_of(4).requires_grad_(), logits_of(4).requires_grad_()
    MarginalDiceCrossEntropy(MEMBERS)(one, ids).backward()
    DiceCrossEntropy()(other, classes.clamp(min=0), classes >= 0).backward()
    torch.testing.assert_close(one.grad, other.grad)


def test_the_whole_loss_is_the_fully_labelled_one() -> None:
    """Of an encoding: with train ids of one class each, offsets and levels included."""
    alone = replace(PARTS, merged=(), sources=())
    ids = ids_of(5, [*TOLD, IGNORED])
    logits = torch.randn((3, PARTS.channels, 5, 6), generator=torch.Generator().manual_seed(6))
    centres = torch.randn((3, PARTS.train_id_count, 2), generator=torch.Generator().manual_seed(7))
    shift = torch.zeros(centres.shape[:2])
    batch = Batch(torch.zeros((3, 1, 5, 6)), ids, centres, shift, torch.ones((3, 2)))
    partial = MultiTaskLoss(PARTS, (1, 2), MarginalDiceCrossEntropy(MEMBERS))(logits, batch)
    full = MultiTaskLoss(alone, (1, 2), DiceCrossEntropy())(logits, batch)
    assert {name: float(term) for name, term in partial.items()} == pytest.approx(
        {name: float(term) for name, term in full.items()}, abs=1e-6
    )


def test_cross_entropy_is_of_the_sum_over_what_a_voxel_may_be() -> None:
    logits, ids = logits_of(8, 1), torch.tensor([[[WHOLE, HIDES, BODY, IGNORED]]])
    p = logits[:, :, :1, :4].softmax(1)[0, :, 0]  # (classes, voxels)
    expected = -(torch.log(p[1, 0] + p[2, 0]) + torch.log(p[0, 1] + p[2, 1] + p[3, 1]) + torch.log(p[1, 2])) / 3
    loss = MarginalDiceCrossEntropy(MEMBERS, 0.0, 1.0)(logits[:, :, :1, :4], ids)
    assert float(loss) == pytest.approx(float(expected), abs=1e-9)


def test_dice_is_of_what_each_sample_tells_apart() -> None:
    """One sample of bodies alone, one of whole vertebrae and discs: a group each of body, vertebra and disc."""
    logits = logits_of(9, 2)
    ids = torch.stack((ids_of(10, [HIDES, BODY], 1)[0], ids_of(11, [0, WHOLE, DISC], 1)[0]))
    p = logits.softmax(1)

    def dice(predicted: Tensor, reference: Tensor) -> float:
        overlap = (predicted * reference).sum()
        return float((2 * overlap + 1e-5) / (predicted.sum() + reference.sum() + 1e-5))

    scores = (
        dice(p[0, 1], (ids[0] == BODY).double()),
        dice(p[1, 1] + p[1, 2], (ids[1] == WHOLE).double()),
        dice(p[1, 3], (ids[1] == DISC).double()),
    )
    loss = MarginalDiceCrossEntropy(MEMBERS, 1.0, 0.0)(logits, ids)
    assert float(loss) == pytest.approx(1 - sum(scores) / 3, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([*TOLD, IGNORED, WHOLE, HIDES]), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_what_is_not_annotated_costs_nothing(seed: int, among: list[int]) -> None:
    """However a voxel's probability is shared among the classes that it may be, the loss is the same."""
    generator = np.random.default_rng(seed)
    ids = ids_of(seed, among, 2)
    p = generator.dirichlet(np.ones(4), (2, 5, 6))  # (2, 5, 6, classes)
    shared = p.copy()
    possible = MEMBERS[ids.numpy()] | (ids.numpy() == IGNORED)[..., None]
    for index in np.ndindex(2, 5, 6):
        own = possible[index]
        shared[index][own] = p[index][own].sum() * generator.dirichlet(np.ones(own.sum()))
    free = MarginalDiceCrossEntropy(MEMBERS, 0.0, 1.0)
    losses = [float(free(torch.from_numpy(np.log(x + 1e-12)).movedim(-1, 1), ids)) for x in (p, shared)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-7)


def test_dice_does_not_ask_how_a_whole_vertebra_is_divided_either() -> None:
    ids = ids_of(12, [0, WHOLE, DISC, IGNORED], 2)
    logits = logits_of(13, 2)
    swapped = logits[:, [0, 2, 1, 3]]
    loss = MarginalDiceCrossEntropy(MEMBERS)
    assert float(loss(logits, ids)) == pytest.approx(float(loss(swapped, ids)), abs=1e-9)


def test_no_gradient_reaches_what_is_not_annotated() -> None:
    """Ignored voxels get none; a voxel in a background that may hide all but bodies none between those classes."""
    ids = ids_of(14, [HIDES, BODY, IGNORED], 2)
    logits = logits_of(15, 2).requires_grad_()
    MarginalDiceCrossEntropy(MEMBERS)(logits, ids).backward()
    gradient = logits.grad.movedim(1, -1)  # (2, 5, 6, classes)
    assert not gradient[ids == IGNORED].any()
    p = logits.detach().softmax(1).movedim(1, -1)
    hidden = gradient[ids == HIDES][:, [0, 2, 3]] / p[ids == HIDES][:, [0, 2, 3]]
    torch.testing.assert_close(hidden, hidden[:, :1].expand_as(hidden))  # all by one factor: their shares stay
    assert gradient[ids == BODY].abs().min() > 0


def test_half_precision_and_nothing_that_counts() -> None:
    loss = MarginalDiceCrossEntropy(MEMBERS)
    value = loss(logits_of(16).to(torch.bfloat16), ids_of(17, [WHOLE, HIDES]))
    assert value.dtype == torch.float32
    assert value.isfinite()
    logits = logits_of(18).requires_grad_()
    nothing = loss(logits, ids_of(19, [IGNORED]))
    nothing.backward()
    assert nothing.item() == 0
    assert not logits.grad.any()
