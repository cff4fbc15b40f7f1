"""A recipe: every number of a trainer that is not the network's or the plan's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from autospine.augmentation.settings import AugmentationSettings, BatchgeneratorsSettings
from autospine.core.serial import from_plain, to_plain
from autospine.planning.split_strategies import SplitSettings
from autospine.preprocessing.transforms.base import TransformSettings, transforms_hash


@dataclass(frozen=True)
class OptimiserSettings:
    """One optimiser."""

    kind: Literal["adamw", "adam", "sgd"] = "adamw"  # "adamw", "adam" or "sgd" (Nesterov)
    learning_rate: float = 1e-3  # its highest
    weight_decay: float = 1e-2  # as the optimiser takes it
    momentum: float = 0.9  # of sgd; first beta of Adam
    second_beta: float = 0.999  # of Adam
    clip_norm: float = 12.0  # largest gradient norm; 0 leaves gradients alone


@dataclass(frozen=True)
class ScheduleSettings:
    """How the learning rate changes."""

    # "cosine", "poly", "constant", or "plateau" (watches the validation score).
    kind: Literal["cosine", "poly", "constant", "plateau"] = "cosine"
    warmup: float = 0.05  # share of all updates over which the rate rises to its highest
    power: float = 0.9  # of poly
    patience: int = 10  # epochs without a better score before plateau acts
    factor: float = 0.1  # what plateau multiplies the rate with


@dataclass(frozen=True)
class FineTuningSettings:
    """Learning rates of a training that starts from another model, as factors of the optimiser's.

    What was learnt is moved gently; the head, which may have fresh rows, learns as fast as from scratch.
    """

    body: float = 0.3
    first_layer: float = 0.3
    head: float = 1.0

    def __post_init__(self) -> None:
        if min(self.body, self.first_layer, self.head) < 0:
            raise ValueError("a learning rate's factor is below 0")


@dataclass(frozen=True)
class Recipe:
    """How a trainer trains."""

    name: str  # "adapted", "published" or another
    epochs: int = 200  # passes of `iterations_per_epoch` updates
    # Updates between two validations; None: one pass over the training slices or volumes.
    iterations_per_epoch: int | None = 250
    # By the name of the network they move.
    optimisers: dict[str, OptimiserSettings] = field(default_factory=lambda: {"network": OptimiserSettings()})
    schedule: ScheduleSettings = ScheduleSettings()  # of the learning rate, for all optimisers
    fine_tuning: FineTuningSettings = FineTuningSettings()  # of a training that starts from another model
    # "levels" for instances numbered by their order where the plan has ordered labels, "classes" for one class per
    # label.
    learns: Literal["levels", "classes"] = "levels"
    batch: int | None = None  # patches per update; None takes the plan's
    patch: tuple[int, ...] | None = None  # voxels along the network's axes; None takes the plan's
    transforms: tuple[TransformSettings, ...] = ()  # preprocessing on top of the plan's, repeated by prediction
    # AutoSpine's own, or that of batchgenerators; None trains on the data as they are.
    augmentation: AugmentationSettings | BatchgeneratorsSettings | None = None
    foreground_oversampling: float = 0.67  # share of the patches that are sampled around a label
    patience: int = 0  # epochs without a better score before training stops; 0 never
    checkpoint: Literal["last", "best"] = "last"  # whether the last or the best weights are kept
    # What "better" means, to `checkpoint`, `patience` and a plateau: mean Dice or mean IoU over classes, or the share
    # of right voxels, which the background rules; on validation patches.
    monitor: Literal["dice", "iou", "accuracy"] = "dice"
    loss_weights: dict[str, float] = field(default_factory=dict)  # by the loss term's name
    min_updates: int = 1200  # with --minutes, the fewest updates that a network must get to be chosen
    # Decay of the exponential moving average of the weights, kept instead of the last; 0 keeps the last.
    ema_decay: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)  # choices of the trainer's own, by the names of its `Options`
    # How cases are split into training, validation and test; None takes the work folder's folds.
    split: SplitSettings | None = None
    plans: tuple[str, ...] = ()  # names of the plans that it takes; empty for all that its trainer takes

    def weight(self, term: str, default: float = 1.0) -> float:
        """Return the weight of a loss term."""
        return self.loss_weights.get(term, default)

    def transforms_hash(self) -> str:
        """Return the name of the folder for what the transforms make."""
        return transforms_hash(self.transforms)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Recipe:
        """Read `to_dict`'s values; unknown keys are errors."""
        return from_plain(cls, data, where)
