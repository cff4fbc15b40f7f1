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
    """One optimiser.

    Attributes:
        kind: "adamw", "adam" or "sgd" (Nesterov).
        learning_rate: Its highest.
        weight_decay: As the optimiser takes it.
        momentum: Of sgd; first beta of Adam.
        second_beta: Of Adam.
        clip_norm: Largest gradient norm; 0 leaves gradients alone.
    """

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    second_beta: float = 0.999
    clip_norm: float = 12.0


@dataclass(frozen=True)
class ScheduleSettings:
    """How the learning rate changes.

    Attributes:
        kind: "cosine", "poly", "constant", or "plateau" (watches the validation score).
        warmup: Share of all updates over which the rate rises to its highest.
        power: Of poly.
        patience: Epochs without a better score before plateau acts.
        factor: What plateau multiplies the rate with.
    """

    kind: Literal["cosine", "poly", "constant", "plateau"] = "cosine"
    warmup: float = 0.05
    power: float = 0.9
    patience: int = 10
    factor: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """How a trainer trains.

    Attributes:
        name: "adapted", "published" or another.
        epochs: Passes of `iterations_per_epoch` updates.
        iterations_per_epoch: Updates between two validations; None: one pass over the training slices or volumes.
        optimisers: By the name of the network they move.
        schedule: Of the learning rate, for all optimisers.
        learns: "levels" for instances numbered by their order where the plan has ordered labels, "classes" for one
            class per label.
        batch: Patches per update; None takes the plan's.
        patch: Voxels along the network's axes; None takes the plan's.
        transforms: Preprocessing on top of the plan's, repeated by prediction.
        augmentation: AutoSpine's own, or that of batchgenerators; None trains on the data as they are.
        foreground_oversampling: Share of the patches that are sampled around a label.
        patience: Epochs without a better score before training stops; 0 never.
        checkpoint: Whether the last or the best weights are kept.
        monitor: What "better" means, to `checkpoint`, `patience` and a plateau: mean Dice or mean IoU over classes, or
            the share of right voxels, which the background rules; on validation patches.
        loss_weights: By the loss term's name.
        min_updates: With --minutes, the fewest updates that a network must get to be chosen.
        ema_decay: Decay of the exponential moving average of the weights, kept instead of the last; 0 keeps the last.
        options: Choices of the trainer's own, by the names of its `Options`.
        split: How cases are split into training, validation and test; None takes the work folder's folds.
        plans: Names of the plans that it takes; empty for all that its trainer takes.
    """

    name: str
    epochs: int = 200
    iterations_per_epoch: int | None = 250
    optimisers: dict[str, OptimiserSettings] = field(default_factory=lambda: {"network": OptimiserSettings()})
    schedule: ScheduleSettings = ScheduleSettings()
    learns: Literal["levels", "classes"] = "levels"
    batch: int | None = None
    patch: tuple[int, ...] | None = None
    transforms: tuple[TransformSettings, ...] = ()
    augmentation: AugmentationSettings | BatchgeneratorsSettings | None = None
    foreground_oversampling: float = 0.67
    patience: int = 0
    checkpoint: Literal["last", "best"] = "last"
    monitor: Literal["dice", "iou", "accuracy"] = "dice"
    loss_weights: dict[str, float] = field(default_factory=dict)
    min_updates: int = 1200
    ema_decay: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    split: SplitSettings | None = None
    plans: tuple[str, ...] = ()

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
