"""How MedFusionNet prepares, splits and trains (Narula et al. 2024), and its choices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from autospine.augmentation import AugmentationSettings, BatchgeneratorsSettings
from autospine.planning.recipe import OptimiserSettings, Recipe, ScheduleSettings
from autospine.planning.split_strategies import SplitSettings
from autospine.preprocessing.transforms.base import TransformSettings
from autospine.training.trainer import Options

MEMBERS = ("unet", "unetplusplus", "resunet", "deeplabv3")
SIDE = 128  # pixels
ENLARGEMENT = 3535 / 447


@dataclass(frozen=True)
class MedFusionOptions(Options):
    """Choices of MedFusionNet.

    Raises:
        ValueError: An image becomes less than one.
    """

    members: tuple[str, ...] = MEMBERS  # networks that are trained and paired
    # "horizontal" swaps front and back, "vertical" head and foot, which spoils the numbering.
    flips: Literal["none", "horizontal", "vertical", "both"] = "none"
    enlargement: float = 1.0  # images that one becomes by augmentation
    # "after" the split, or "before" it, where copies of an image stand on both sides.
    enlarge: Literal["after", "before"] = "after"

    def __post_init__(self) -> None:
        if not 1 <= self.enlargement < inf:
            raise ValueError(f"enlargement is {self.enlargement:g}, not at least 1")


SPLIT = SplitSettings("patient", 0.70, 0.05, 0.25, folds=4)
PUBLISHED = Recipe(
    "published",
    epochs=50,
    iterations_per_epoch=None,
    optimisers={"network": OptimiserSettings("adam", 1e-3, 0.0, clip_norm=0.0)},
    schedule=ScheduleSettings("plateau", warmup=0.0, patience=5, factor=0.1),
    learns="classes",
    batch=64,
    patch=(SIDE, SIDE),
    transforms=(
        TransformSettings("unit_range"),
        TransformSettings("resize", {"rows": SIDE, "columns": SIDE}),
        TransformSettings("annotated_slices", {"middle": 1}),
    ),
    augmentation=BatchgeneratorsSettings(
        rotation_probability=0.5, translation=0.1, brightness_probability=0.5, brightness=(0.8, 1.2)
    ),
    foreground_oversampling=0.0,
    min_updates=1,
    split=SPLIT,
    options={"flips": "horizontal", "enlargement": ENLARGEMENT},
)
ADAPTED = Recipe(
    "adapted",
    optimisers={"network": OptimiserSettings("adam", 4e-3, 0.0)},
    batch=4,  # per-level classification takes many updates, not many slices in each
    augmentation=AugmentationSettings(),
    learns="classes",
    transforms=(TransformSettings("annotated_slices"),),
    ema_decay=0.99,
    split=SPLIT,
)
RECIPES = {
    "adapted": ADAPTED,
    "published": PUBLISHED,
    "published_enlarged_first": replace(
        PUBLISHED, name="published_enlarged_first", options={**PUBLISHED.options, "enlarge": "before"}
    ),
}
