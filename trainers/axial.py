"""What the comparators for axial slices share: preprocessing, augmentation and recipe of Liu et al. 2024, table 1.

The paper gives sizes, batches and epochs of its comparators, and one preprocessing for all. Optimiser and learning rate
are *ours*: Adam 1e-4, the generator's. The labels `axial4` are derived where a data set has whole vertebrae; the recipe
`adapted` learns whatever labels the data set has, on any plan of slices.
"""

from __future__ import annotations

from typing import ClassVar

from autospine.augmentation import AugmentationSettings
from autospine.errors import UserError
from autospine.planning.plan import Plan
from autospine.recipe import OptimiserSettings, Recipe, ScheduleSettings, StepSettings
from trainers.unet import UNetTrainer

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
    )


class SliceComparator(UNetTrainer):
    """A network of slices beside the baseline.

    Class attributes:
        widths: Of its stages.
    """

    widths: ClassVar[tuple[int, ...]]

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if plan.dimension != 2:
            raise UserError(
                f"--trainer {self.name}", f"sees slices, {plan.name} volumes", f"use --plan {AXIAL}"
            )
        check_axial(plan, recipe)
        super().__init__(plan, recipe)


def check_axial(plan: Plan, recipe: Recipe) -> None:
    """Refuses the paper's steps, which fit axial slices, on other plans.

    Raises:
        UserError: The recipe has sizes of axial slices, the plan other slices.
    """
    if recipe.patch and plan.name != AXIAL:
        raise UserError(
            f"--recipe {recipe.name}",
            f"fits axial slices, {plan.name} has others",
            f"use --plan {AXIAL}, or --recipe adapted",
        )
