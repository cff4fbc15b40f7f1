"""A trained model on disk: weights.safetensors, and model.json with everything that prediction needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine import __version__, registry
from autospine.errors import UserError
from autospine.files import read_json, write_json, write_with
from autospine.labels.encoding import Encoding
from autospine.labels.schemes import LabelScheme
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan
from autospine.recipe import Recipe
from autospine.serial import from_plain, to_plain

if TYPE_CHECKING:
    from torch import Tensor, device, nn

    from autospine.training.calibration import Calibration
    from autospine.training.job import Job
    from autospine.training.trainer import Trainer

VERSION = 1
CARD, WEIGHTS = "model.json", "weights.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """What model.json says.

    Attributes:
        trainer: Its name.
        plan, recipe: That it was trained with.
        encoding: What its channels mean.
        scheme: Labels that come out.
        shape: Of the network.
        patch: Voxels along the network's axes.
        fold: Its name.
        trained_on: Ids of its training cases.
        weights: SHA-256 of the weights' file.
        autospine: Version that trained it.
        version: Of this file's form.
    """

    trainer: str
    plan: Plan
    recipe: Recipe
    encoding: Encoding
    scheme: LabelScheme
    shape: NetworkShape
    patch: tuple[int, ...]
    fold: str
    trained_on: tuple[str, ...]
    weights: str
    autospine: str = __version__
    version: int = VERSION


@dataclass(frozen=True)
class Model:
    """A model folder that was read.

    Attributes:
        folder: Where.
        card: Its model.json.
    """

    folder: Path
    card: ModelCard

    @cached_property
    def name(self) -> str:
        """For reports: trainer, plan, recipe, fold and the weights' first digits."""
        card = self.card
        return f"{card.trainer}/{card.plan.name}/{card.recipe.name}/fold_{card.fold}@{card.weights[:12]}"

    def network(self, where: device) -> nn.Module:
        """The network with its weights, ready to predict.

        Raises:
            UserError: The weights are missing, damaged or of another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / WEIGHTS
        kind = registry.load("trainers", self.card.trainer)
        network = kind(self.card.plan, self.card.recipe).build(replace(self.card.shape))
        try:
            if file_hash(path) != self.card.weights:
                raise UserError(
                    path, "is damaged or not the one that model.json describes", "copy the model again"
                )
            network.load_state_dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise UserError(
                path, "is missing or damaged", "copy the model again, or train it again"
            ) from error
        except RuntimeError as error:
            raise UserError(path, "does not fit its model.json", "copy the model again") from error
        return network.to(where).eval()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_model(
    folder: Path, trainer: Trainer, calibration: Calibration, weights: dict[str, Tensor], job: Job
) -> None:
    """Writes the weights, then the card; a folder with a card is whole."""
    from safetensors.torch import save_file

    plain = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    write_with(folder / WEIGHTS, lambda path: save_file(plain, path))
    card = ModelCard(
        trainer=trainer.name,
        plan=trainer.plan,
        recipe=trainer.recipe,
        encoding=trainer.encoding,
        scheme=trainer.label_scheme,
        shape=calibration.shape,
        patch=trainer.patch,
        fold=job.fold_name,
        trained_on=job.fold.train,
        weights=file_hash(folder / WEIGHTS),
    )
    write_json(folder / CARD, to_plain(card))


def read_model(folder: Path) -> Model:
    """Reads one model folder (without its weights).

    Raises:
        UserError: No model there, or one from a newer version.
    """
    path = folder / CARD
    data: Any = read_json(path, "name a folder that autospine_train made, with its training finished")
    if isinstance(data, dict) and isinstance(data.get("version"), int) and data["version"] > VERSION:
        raise UserError(path, "was made by a newer AutoSpine", "update AutoSpine")
    return Model(folder, from_plain(ModelCard, data, str(path)))


def find_models(folders: Sequence[str | Path]) -> list[Model]:
    """Models of the given folders; a folder of folds, or of an ensemble's members, stands for all of them.

    Raises:
        UserError: A folder holds no model, or the models do not answer in the same way.
    """
    found: list[Model] = []
    for folder in map(Path, folders):
        parts = [*folder.glob(f"fold_[0-9]*/{CARD}"), *folder.glob(f"member_*/{CARD}")]
        parts = parts or [*folder.glob(f"fold_*/{CARD}")]
        folds = [folder] if (folder / CARD).exists() else sorted(path.parent for path in parts)
        if not folds:
            raise UserError(
                folder, "holds no finished model", "name a fold's folder or the folder above its folds"
            )
        found += [read_model(fold) for fold in folds]
    first = found[0]
    for other in found[1:]:
        _check_alike(first, other)
    return found


def _check_alike(first: Model, other: Model) -> None:
    if first.card.scheme != other.card.scheme or first.card.encoding != other.card.encoding:
        raise UserError(
            other.folder,
            f"answers with other labels than {first.folder}",
            "average models of one label scheme",
        )
    if first.card.plan.grid != other.card.plan.grid or first.card.plan.view_axis != other.card.plan.view_axis:
        raise UserError(other.folder, f"has another plan than {first.folder}", "average models of one plan")
    if first.card.recipe.steps != other.card.recipe.steps:
        raise UserError(other.folder, f"prepares scans otherwise than {first.folder}", "average alike models")
