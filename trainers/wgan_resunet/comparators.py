"""What the comparators for axial slices share, see `trainers.wgan_resunet.recipes`.

The labels `axial4` are derived where a data set has whole vertebrae. A comparator's recipe `adapted` learns whatever
labels the data set has, on any plan of slices.
"""

from __future__ import annotations

from pathlib import Path

from autospine.core.errors import UserError
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.training.trainer import Trainer
from trainers.wgan_resunet.labels import shows_axial
from trainers.wgan_resunet.recipes import PLAN, fits_axial_slices
from trainers.wgan_resunet.tables import write_table


class AxialComparator(Trainer):
    """A network beside `wgan_resunet`; some of its recipes are for axial slices."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if fits_axial_slices(recipe) and plan.name != PLAN:
            raise UserError(
                f"--recipe {recipe.name}",
                f"fits axial slices, {plan.name} has others",
                f"use --plan {PLAN}, or --recipe adapted",
            )
        super().__init__(plan, recipe)

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:
        """Tables 2 to 4, where bodies, foramina and laminae were learnt on axial slices."""
        if self.plan.name == PLAN and shows_axial(self.prepared.scheme, self.prepared.shown):
            write_table(self, folder, subset, work)


class SliceComparator(AxialComparator):
    """One that sees slices only."""

    width_multiple = 8

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if plan.dimension != 2:
            raise UserError(f"--trainer {self.name}", f"sees slices, {plan.name} volumes", f"use --plan {PLAN}")
        super().__init__(plan, recipe)
