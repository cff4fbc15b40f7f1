from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from tests.contracts.trainer import TrainerContract
from tests.tiny import plan_of
from trainers.attention_unet.trainer import AttentionUNetTrainer


class TestAttentionUNetTrainer(TrainerContract):
    name = "attention_unet"
    dimensions = (2,)
    widths = (4, 4, 8, 8, 8, 8, 8)

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        """Six poolings need more than 64 pixels, lest batch normalisation meets a single one."""
        plan, recipe = super().small(plan, recipe)
        return plan, replace(recipe, patch=(96, 48))


def test_attention_in_the_encoder_is_an_option(tiny_work: WorkFolder) -> None:
    plan = plan_of(tiny_work, 2)
    counts = []
    for attend in (False, True):
        recipe = replace(AttentionUNetTrainer.recipes["published"], options={"attend_encoder": attend})
        trainer = AttentionUNetTrainer(plan, recipe)
        small = replace(trainer.shape(), widths=tuple(w // 16 for w in trainer.widths))
        counts.append(sum(p.numel() for p in trainer.build(small).parameters()))
    assert counts[0] < counts[1]


def test_an_option_that_it_has_not_is_refused(tiny_work: WorkFolder) -> None:
    recipe = replace(AttentionUNetTrainer.recipes["adapted"], options={"attend_everything": True})
    with pytest.raises(UserError, match="attend_everything"):
        AttentionUNetTrainer(plan_of(tiny_work, 2), recipe)


def test_the_published_network_has_six_poolings_and_eight_classes(tiny_work: WorkFolder) -> None:
    trainer = AttentionUNetTrainer(plan_of(tiny_work, 2), AttentionUNetTrainer.recipes["published"])
    assert trainer.width_options() == (trainer.shape(),)
    assert trainer.shape().scale_factor == (64, 64)
    assert trainer.patch == (256, 256)
    assert trainer.label_scheme.name == "lumbar7"


def test_alpha_moves_the_loss_from_pixels_to_instances(tiny_work: WorkFolder) -> None:
    plan, losses = plan_of(tiny_work, 2), []
    for alpha in (0.0, 0.6, 1.0):
        recipe = replace(AttentionUNetTrainer.recipes["adapted"], options={"alpha": alpha})
        semantic = AttentionUNetTrainer(plan, recipe).loss().semantic
        logits = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
        labels = torch.zeros(1, 16, 16, dtype=torch.long)
        labels[0, 4:8, 4:8] = 3
        losses.append(float(semantic(logits, labels, None)))
    assert losses[1] == pytest.approx(0.4 * losses[0] + 0.6 * losses[2], rel=1e-5)
