"""How the modified U-Net prepares, splits and trains (Ahmed et al. 2024)."""

from __future__ import annotations

from autospine.augmentation import AugmentationSettings
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.planning.split_strategies import SplitSettings
from autospine.preprocessing.transforms.base import TransformSettings

ROWS, COLUMNS = 640, 512
LARGEST_RATIO = 55

ADAPTED = Recipe(
    "adapted",
    optimisers={"network": OptimiserSettings("adam", 1e-3, 0.0)},
    augmentation=AugmentationSettings(),
    learns="classes",
    transforms=(TransformSettings("clean_masks"),),
    checkpoint="best",
    monitor="iou",
    ema_decay=0.99,
)
PUBLISHED = Recipe(
    "published",
    epochs=100,
    iterations_per_epoch=None,
    optimisers={"network": OptimiserSettings("adam", 1e-3, 0.0, clip_norm=0.0)},
    schedule=ScheduleSettings("constant", warmup=0.0),
    learns="classes",
    batch=8,
    patch=(ROWS, COLUMNS),
    transforms=(
        TransformSettings("unit_range"),
        TransformSettings("fit", {"rows": ROWS, "columns": COLUMNS}),
        TransformSettings("clean_masks", {"published": 1}),
        TransformSettings("filter_slices", {"max_ratio": LARGEST_RATIO}),
    ),
    foreground_oversampling=0.0,
    patience=15,
    checkpoint="best",
    monitor="iou",
    min_updates=1,
    split=SplitSettings("slices", 0.8, 0.1, 0.1),
)
RECIPES = {"adapted": ADAPTED, "published": PUBLISHED}
