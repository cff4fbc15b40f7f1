"""How the SAFNet paper prepares, splits and trains, for SAFNet and for the networks that it is compared with."""

from __future__ import annotations

from dataclasses import replace

from autospine.augmentation import BatchgeneratorsSettings
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.planning.split_strategies import SplitSettings
from autospine.preprocessing.transforms.base import TransformSettings

PLAN = "3d_volume"
SLICES, ROWS, COLUMNS = 18, 256, 128
SPLIT = SplitSettings("patient", 138, 4, 30, folds=5)

AUGMENTATION = BatchgeneratorsSettings(  # rotation, contrast and elastic deformation; the paper gives no numbers
    rotation_probability=0.5,
    rotation_degrees=10.0,
    elastic_probability=0.3,
    elastic_alpha=(0.0, 150.0),  # displacements of 2 pixels in the standard deviation, at most
    contrast_probability=0.5,
    mirror=False,
)

PUBLISHED = Recipe(
    "published",
    epochs=50,
    iterations_per_epoch=None,
    optimisers={"network": OptimiserSettings("adam", 1e-3, 1e-4, clip_norm=0.0)},
    schedule=ScheduleSettings("plateau", warmup=0.0, patience=10, factor=0.5),
    learns="classes",
    batch=8,
    patch=(SLICES, ROWS, COLUMNS),
    transforms=(
        TransformSettings("centre_crop", {"columns": 0.5}),
        TransformSettings("fit", {"slices": SLICES, "rows": ROWS, "columns": COLUMNS}),
        TransformSettings("z_score"),
    ),
    augmentation=AUGMENTATION,
    foreground_oversampling=0.0,
    checkpoint="best",
    loss_weights={"dice": 0.0, "cross_entropy": 1.0},
    min_updates=1,
    split=SPLIT,
)
COMPARED = replace(PUBLISHED, name="safnet")  # of the comparators: cross-entropy, Adam 1e-3, the same data
