"""No loss asks a CUDA device for a number, which the host would wait for: shown with pretended tensors.

PyTorch's fake tensors have a shape and a device but no content: whatever depends on content raises an error, and so
does a computation with tensors of two devices.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from autospine.training.data import Batch
from autospine.training.losses.binary import BinaryCrossEntropy
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.focal import FocalDice
from autospine.training.losses.instance import InstanceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from tests.tiny import ordered_encoding

SIZE = (2, 16, 12)  # samples, rows, columns


def pretended(loss: MultiTaskLoss) -> None:
    """Compute a loss on a pretended device; slopes need PyTorch's CUDA build."""
    tables = loss.class_of, loss.level_of
    with FakeTensorMode():
        device = torch.device("cuda")
        places = len(loss.encoding.values) + 2
        outputs = torch.zeros(SIZE[0], loss.encoding.channels, *SIZE[1:], device=device)
        batch = Batch(
            torch.zeros(SIZE[0], 1, *SIZE[1:], device=device),
            torch.zeros(SIZE, dtype=torch.uint8, device=device),
            torch.zeros(SIZE[0], places, 2, device=device),
            torch.zeros(SIZE[0], places, device=device),
            torch.ones(SIZE[0], 2, device=device),
        )
        loss.class_of, loss.level_of = (torch.zeros(table.shape, dtype=table.dtype, device=device) for table in tables)
        terms = loss(outputs, batch)
        assert all(term.device == device for term in terms.values())


@pytest.mark.parametrize(
    "semantic",
    [DiceCrossEntropy(), DiceCrossEntropy(batch_dice=False), FocalDice(), InstanceCrossEntropy(), BinaryCrossEntropy()],
    ids=lambda loss: type(loss).__name__,
)
def test_no_loss_waits(semantic: nn.Module) -> None:
    pretended(MultiTaskLoss(ordered_encoding(3), (1, 2), semantic))


def test_one_that_waits_is_found() -> None:
    class Waiting(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
            return logits.movedim(1, -1)[mask].sum()

    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        pretended(MultiTaskLoss(ordered_encoding(3), (1, 2), Waiting()))
