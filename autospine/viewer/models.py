"""The models of a page: read once, used by every visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from autospine.core.errors import UserError
from autospine.inference.model import Model, find_models
from autospine.models.installed import BOX, InstalledModel, default_model, installed_models

if TYPE_CHECKING:
    from autospine.inference.predictor import Predictor


@dataclass(frozen=True)
class PageModels:
    """Networks ready to segment."""

    models: tuple[Model, ...]  # one, or several that are averaged
    predictor: Predictor  # of these models
    # Held while a scan is segmented, so that two visits do not need the memory of two.
    lock: Lock = field(default_factory=Lock, compare=False)


def offered_models() -> tuple[InstalledModel, ...]:
    """Return the installed models, the one in the box first.

    Raises:
        UserError: None is installed.
    """
    models = installed_models() or {BOX: default_model()}
    return tuple(sorted(models.values(), key=lambda model: model.name != BOX))


def find_page_models(folders: Sequence[str | Path]) -> tuple[Model, ...]:
    """Return models that a page can serve, without their weights.

    Raises:
        UserError: No model there, models that differ, or one that needs several channels.
    """
    models = tuple(find_models(folders))
    channels = models[0].card.plan.channels
    if len(channels) > 1:
        raise UserError(
            models[0].folder,
            f"needs {len(channels)} channels ({', '.join(channels)}), and the page takes one file",
            "use autospine_predict",
        )
    return models


def load_models(folders: Sequence[str | Path], device: str) -> PageModels:
    """Read models with their weights.

    Raises:
        UserError: As for `find_page_models`; weights are missing or damaged, or there is no such device.
    """
    import torch

    from autospine.core.machine import find_machine
    from autospine.inference.predictor import Predictor

    models = find_page_models(folders)
    return PageModels(models, Predictor(models, torch.device(find_machine(device, None).device)))
