"""What the paper of `wgan_resunet` contributes to the trainers that it is compared with: recipes, and tables 2 to 4.

The labels `axial4` are derived where a data set has whole vertebrae. A comparator's recipe `adapted` learns whatever
labels the data set has, on any plan of slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from autospine.augmentation import AugmentationSettings
from autospine.core.errors import UserError
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.training.trainer import Trainer
from trainers.unet import POLY, SGD
from trainers.wgan_resunet.labels import shows_axial
from trainers.wgan_resunet.recipes import PLAN, published
from trainers.wgan_resunet.tables import write_table


class AxialComparison:
    """Recipes by trainer and name, and the tables after a comparator's validation."""

    recipes: ClassVar[Mapping[str, Mapping[str, Recipe]]] = {
        "unet": {
            "axial": replace(published(256, 4), name="axial"),
            "axial_nnunet": replace(
                published(512, 2, {"network": SGD}),
                name="axial_nnunet",
                epochs=1000,
                schedule=POLY,
                augmentation=AugmentationSettings(mirror=False),
                foreground_oversampling=0.33,
            ),
        }
    }

    @staticmethod
    def write_tables(trainer: Trainer, folder: Path, subset: Subset, work: Path) -> None:
        """Write tables 2 to 4 where bodies, foramina and laminae were learnt on axial slices."""
        if trainer.plan.name == PLAN and shows_axial(trainer.prepared.scheme, trainer.prepared.shown):
            write_table(trainer, folder, subset, work)


class SliceComparator(Trainer):
    """A comparator that sees slices only."""

    width_multiple = 8

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if plan.dimension != 2:
            raise UserError(f"--trainer {self.name}", f"sees slices, {plan.name} volumes", f"use --plan {PLAN}")
        super().__init__(plan, recipe)

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Write tables 2 to 4 where they apply."""
        AxialComparison.write_tables(self, folder, subset, work)
