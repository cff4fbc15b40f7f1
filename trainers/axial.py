"""What `wgan_resunet` and its comparators share: the recipe, preprocessing and split of Liu et al. 2024.

The paper's table 1 gives sizes, batches and epochs of its comparators. All else is the same for every network, so that
they are compared on the same slices; optimiser and learning rate of the comparators are *ours*, the generator's. The
labels `axial4` are derived where a data set has whole vertebrae. A comparator's recipe `adapted` learns whatever
labels the data set has, on any plan of slices.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autospine.augmentation import AugmentationSettings
from autospine.axial.derivation import shows_axial
from autospine.dataset.splits import Part
from autospine.errors import UserError
from autospine.planning.plan import Plan
from autospine.recipe import OptimiserSettings, Recipe, ScheduleSettings, SplitSettings, StepSettings
from trainers.unet import UNetTrainer
from trainers.wgan_resunet_table import write_table

AXIAL = "2d_axial"
ADAM = OptimiserSettings("adam", 1e-4, 0.0, clip_norm=0.0)
ROTATION_AND_CROPPING = AugmentationSettings(
    affine_probability=0.5,
    scale=(1.0, 1.25),
    shear=0.0,
    cut_probability=0.0,
    gamma_probability=0.0,
    remap_probability=0.0,
    inversion_probability=0.0,
    bias_probability=0.0,
    contrast_probability=0.0,
    brightness_probability=0.0,
    blur_probability=0.0,
    low_resolution_probability=0.0,
    noise_probability=0.0,
)


def axial_steps(side: int) -> tuple[StepSettings, ...]:
    """The paper's preprocessing: labels, denoising, equalisation, crop to the body, zero-fill, z-score.

    Args:
        side: Pixels of the square slices.
    """
    return (
        StepSettings("derive_axial4"),
        StepSettings("wavelet_denoise"),
        StepSettings("adaptive_histogram"),
        StepSettings("otsu_crop"),
        StepSettings("fit", {"slices": side, "columns": side}),
        StepSettings("z_score"),
    )


def published(side: int, batch: int, optimisers: dict[str, OptimiserSettings] | None = None) -> Recipe:
    """A comparator's recipe as the paper's table 1 has it.

    Args:
        side: Pixels of the square slices.
        batch: Slices per update.
        optimisers: By network; Adam for a single one.
    """
    return Recipe(
        "published",
        epochs=500,
        steps_per_epoch=None,
        optimisers=optimisers or {"network": ADAM},
        schedule=ScheduleSettings("constant", warmup=0.0),
        learns="classes",
        batch=batch,
        patch=(side, side),
        steps=axial_steps(side),
        augmentation=ROTATION_AND_CROPPING,
        foreground=0.0,
        smallest_updates=1,
        split=SplitSettings("patient", 0.6, 0.1, 0.3, folds=5),
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
