"""How Liu et al. 2024 prepare, split and train on axial slices: for `wgan_resunet`, and for what it is compared with.

The paper's table 1 gives sizes, batches and epochs of its comparators. All else is as for `wgan_resunet`, so that
networks are compared on the same slices; optimiser and learning rate of the comparators are the generator's.
"""

from __future__ import annotations

from autospine.augmentation import BatchgeneratorsSettings
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.planning.split_strategies import SplitSettings
from autospine.preprocessing.transforms.base import TransformSettings

PLAN = "2d_axial"
DERIVATION = TransformSettings("derive_axial4")
ADAM = OptimiserSettings("adam", 1e-4, 0.0, clip_norm=0.0)
ROTATION_AND_CROPPING = BatchgeneratorsSettings(
    rotation_probability=0.7, scale_probability=0.7, scale=(0.8, 1.0), mirror=False
)


def published(side: int, batch: int, optimisers: dict[str, OptimiserSettings] | None = None) -> Recipe:
    """Return a recipe as the paper's table 1 has it, with square slices of `side` pixels and, unless told, Adam."""
    return Recipe(
        "published",
        epochs=500,
        iterations_per_epoch=None,
        optimisers=optimisers or {"network": ADAM},
        schedule=ScheduleSettings("constant", warmup=0.0),
        learns="classes",
        batch=batch,
        patch=(side, side),
        transforms=(
            DERIVATION,
            TransformSettings("wavelet_denoise"),
            TransformSettings("adaptive_histogram"),
            TransformSettings("otsu_crop"),
            TransformSettings("fit", {"slices": side, "columns": side}),
            TransformSettings("z_score", {"per_slice": 1}),
        ),
        augmentation=ROTATION_AND_CROPPING,
        foreground_oversampling=0.0,
        min_updates=1,
        split=SplitSettings("patient", 0.6, 0.1, 0.3, folds=5),
        plans=(PLAN,),
    )
