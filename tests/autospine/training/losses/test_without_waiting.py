"""No loss on CUDA asks the device for a number and waits for it: shown on a processor that says it is one.

Every operation is looked at, those of the backward pass included: none may read a value, or make a tensor whose size
depends on values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autospine.training.data import Batch
from autospine.training.losses.binary import BinaryCrossEntropy
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.focal import FocalDice
from autospine.training.losses.instance import InstanceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from tests.tiny import ordered_encoding

SIZE = (2, 16, 12)  # samples, rows, columns
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "bincount", "unique")


class NoWaiting(TorchDispatchMode):
    """Refuses operations that make the host wait for a device."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)
            for x in (args[1] if isinstance(args[1], (list, tuple)) else ())
        )
        if name in WAITING or by_mask:
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], Tensor]:
    """Compute a loss with that of the classes, and its slope."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True, raising=False)

    def computed(semantic: nn.Module) -> Tensor:
        loss = MultiTaskLoss(ordered_encoding(3), (1, 2), semantic)
        places = len(loss.encoding.values) + 2
        outputs = torch.randn(SIZE[0], loss.encoding.channels, *SIZE[1:], requires_grad=True)
        labels = torch.randint(0, places, SIZE).to(torch.uint8)
        centres, offsets = torch.full((SIZE[0], places, 2), torch.nan), torch.zeros(SIZE[0], places)
        batch = Batch(torch.zeros(SIZE[0], 1, *SIZE[1:]), labels, centres, offsets, torch.ones(SIZE[0], 2))
        with NoWaiting():
            loss(outputs, batch)["loss"].backward()
        assert outputs.grad is not None
        return outputs.grad

    return computed


@pytest.mark.parametrize(
    "semantic",
    [DiceCrossEntropy(), DiceCrossEntropy(batch_dice=False), FocalDice(), InstanceCrossEntropy(), BinaryCrossEntropy()],
    ids=lambda loss: type(loss).__name__,
)
def test_no_loss_waits(compute: Callable[[nn.Module], Tensor], semantic: nn.Module) -> None:
    assert bool(compute(semantic).isfinite().all())


def test_one_that_waits_is_found(compute: Callable[[nn.Module], Tensor]) -> None:
    class Waiting(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
            return logits.movedim(1, -1)[mask].sum()

    with pytest.raises(AssertionError, match="waits for the device"):
        compute(Waiting())
