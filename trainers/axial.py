"""What the comparators for axial slices share: the recipe, preprocessing and split of Liu et al. 2024.

The paper's table 1 gives sizes, batches and epochs of its comparators. All else is as in `wgan_resunet`'s recipe
`published`, so that networks are compared on the same slices; optimiser and learning rate of the comparators are
*ours*, the generator's. The labels `axial4` are derived where a data set has whole vertebrae. A comparator's recipe
`adapted` learns whatever labels the data set has, on any plan of slices.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autospine.augmentation import AugmentationSettings
from autospine.axial.derivation import shows_axial
from autospine.dataset.splits import Part
from autospine.errors import UserError
from autospine.planning.plan import Plan
from autospine.recipe import OptimiserSettings, Recipe, StepSettings
from trainers.unet import UNetTrainer
from trainers.wgan_resunet import WGANResUNetTrainer
from trainers.wgan_resunet_table import write_table

AXIAL = "2d_axial"
ADAM = OptimiserSettings("adam", 1e-4, 0.0, clip_norm=0.0)


def published(side: int, batch: int, optimisers: dict[str, OptimiserSettings] | None = None) -> Recipe:
    """A comparator's recipe as the paper's table 1 has it.

    Args:
        side: Pixels of the square slices.
        batch: Slices per update.
        optimisers: By network; Adam for a single one.
    """
    ours = WGANResUNetTrainer.recipes["published"]
    fit = StepSettings("fit", {"slices": side, "columns": side})
    return replace(
        ours,
        optimisers=optimisers or {"network": ADAM},
        batch=batch,
        patch=(side, side),
        steps=tuple(fit if step.name == "fit" else step for step in ours.steps),
        options={},
    )


class AxialComparator(UNetTrainer):
    """A network beside `wgan_resunet`; its published recipe is for axial slices."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if recipe.patch and plan.name != AXIAL:
            raise UserError(
                f"--recipe {recipe.name}",
                f"fits axial slices, {plan.name} has others",
                f"use --plan {AXIAL}, or --recipe adapted",
            )
        super().__init__(plan, recipe)

    def augmentation(self) -> AugmentationSettings | None:
        """Mirrored left and right in `adapted` alone, as `wgan_resunet` is."""
        settings = super().augmentation()
        return settings if settings is None or not self.recipe.patch else replace(settings, mirror_axes=())

    def write_tables(self, folder: Path, part: Part, work: Path) -> None:
        """Tables 2 to 4, where bodies, foramina and laminae were learnt on axial slices."""
        if self.plan.name == AXIAL and shows_axial(self.prepared.scheme, self.prepared.shown):
            write_table(self, folder, part, work)


class SliceComparator(AxialComparator):
    """One that sees slices only."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if plan.dimension != 2:
            raise UserError(
                f"--trainer {self.name}", f"sees slices, {plan.name} volumes", f"use --plan {AXIAL}"
            )
        super().__init__(plan, recipe)
