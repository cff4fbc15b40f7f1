"""Models of networks whose answer is known, and models with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from autospine.inference.model import Model
    from autospine.planning.plan import Plan
    from autospine.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _float32(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock does not choose the number format."""
    from autospine.core.precision import Precision

    monkeypatch.setattr("autospine.inference.predictor.prediction_precision", lambda *_: Precision())


@pytest.fixture
def save() -> Callable[..., Model]:
    """Saves a trainer's network with random weights as a finished model."""

    def saved(folder: Path, trainer: Trainer, seed: int = 0) -> Model:
        import torch

        from autospine.inference.model import read_model, save_model
        from autospine.planning.splits import Fold
        from autospine.training.job import TrainingJob

        torch.manual_seed(seed)
        shape = trainer.shape()
        job = TrainingJob(folder, folder, folder, Fold(("a",), ()), "0", torch.device("cpu"))
        weights = trainer.build(shape).state_dict()
        save_model(folder, trainer.model_card(shape, job), weights)
        return read_model(folder)

    return saved


@pytest.fixture
def bright(save: Callable[..., Model]) -> Callable[..., Model]:
    """A model that calls what is brighter than average the canal."""

    def made(folder: Path, plan: Plan | None = None, **changes: object) -> Model:
        from autospine.labels.encoding import plain_encoding
        from tests.tiny import make_plan
        from tests.toys import BrightnessTrainer

        if plan is None:
            plan = make_plan(plain_encoding(_spider(), (1, 100)), **changes)
        return save(folder, BrightnessTrainer(plan, BrightnessTrainer.recipes["only"]))

    return made


def _spider():
    from autospine.labels.conversion import get_scheme

    return get_scheme("spider")


@pytest.fixture
def random_model(save: Callable[..., Model]) -> Callable[..., Model]:
    """A U-Net with random weights on ordered labels, 2-D or 3-D."""

    def made(folder: Path, dimension: int = 2, seed: int = 0, **changes: object) -> Model:
        from tests.tiny import make_plan, ordered_encoding
        from tests.toys import QUICK, ToyTrainer

        plan = make_plan(ordered_encoding(), dimension)
        return save(folder, ToyTrainer(replace(plan, **changes), QUICK), seed)

    return made
