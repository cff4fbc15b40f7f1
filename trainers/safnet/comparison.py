"""What SAFNet's paper contributes to the trainers that it compares itself with: a recipe, and a line of its table 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.training.trainer import Trainer
from trainers.safnet.recipes import COMPARED, PLAN
from trainers.safnet.tables import write_table


class SAFNetComparison:
    """Recipes by trainer and name, and the table after a comparator's validation."""

    recipes: ClassVar[Mapping[str, Mapping[str, Recipe]]] = {
        name: {COMPARED.name: COMPARED} for name in ("unet", "resunet", "deeplabv3", "cfnet")
    }

    @staticmethod
    def write_tables(trainer: Trainer, folder: Path, subset: Subset, work: Path) -> None:
        """Write SAFNet's table 1 again where volumes were learnt and SAFNet is there."""
        if trainer.plan.name == PLAN:
            write_table(folder)
