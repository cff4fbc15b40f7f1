from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.training import loop
from autospine.training.checkpoint import load_checkpoint
from autospine.training.data import Batch
from autospine.training.trainer import Context
from tests.tiny import make_job, plan_of
from tests.toys import QUICK, ToyTrainer


class DivergingTrainer(ToyTrainer):
    """Its weights are NaN from the second epoch's second update on."""

    def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        if context.step == QUICK.iterations_per_epoch + 1:
            with torch.no_grad():
                next(context.networks[self.inference].parameters()).fill_(math.nan)
        return super().training_step(context, batch)


def test_a_training_that_diverges_says_where_and_saves_no_model(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    plan, first = plan_of(tiny_work, 2), QUICK.iterations_per_epoch
    job = make_job(tiny_work, plan, tmp_path, epochs=3)
    with pytest.raises(UserError, match=rf"diverged: .* since about update {first + 2} of {3 * first}; checkpoint.pt"):
        loop.fit(DivergingTrainer(plan, QUICK), job)
    assert not list(tmp_path.rglob("*.safetensors")) and not (tmp_path / "model.json").exists()
    content = load_checkpoint(job.checkpoint, job.device)
    assert content["step"] == first
    assert all(value.isfinite().all() for value in content["networks"]["network"].values())
