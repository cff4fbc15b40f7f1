"""How the attention U-Net prepares and trains (Pal et al.)."""

from __future__ import annotations

from dataclasses import replace

from autospine.augmentation import AugmentationSettings
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.preprocessing.transforms.base import TransformSettings

SIDE = 256  # pixels
TRANSFORMS = (
    TransformSettings("shearlet_denoise"),
    TransformSettings("otsu_crop"),
    TransformSettings("fit", {"rows": SIDE, "columns": SIDE}),
    TransformSettings("z_score"),
)
PUBLISHED = Recipe(
    "published",
    epochs=100,
    iterations_per_epoch=None,
    optimisers={"network": OptimiserSettings("adam", 1e-3, 0.0, clip_norm=0.0)},
    schedule=ScheduleSettings("constant", warmup=0.0),
    learns="classes",
    batch=16,
    patch=(SIDE, SIDE),
    transforms=TRANSFORMS,
    foreground_oversampling=0.0,
    min_updates=1,
)
ADAPTED = Recipe(
    "adapted",
    optimisers={"network": OptimiserSettings("adam", 2e-3, 0.0)},
    batch=4,  # per-level classification takes many updates, not many slices in each
    augmentation=AugmentationSettings(),
    learns="classes",
    ema_decay=0.99,
)
RECIPES = {
    "adapted": ADAPTED,
    "published": PUBLISHED,
    "published_boxes": replace(
        PUBLISHED, name="published_boxes", transforms=(TransformSettings("box_masks"), *TRANSFORMS)
    ),
}
