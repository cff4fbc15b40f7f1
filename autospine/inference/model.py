"""A trained model on disk: weights.safetensors, and model.json with everything that prediction needs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json, write_with
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.core.version import __version__
from autospine.inference.calibration import Calibration
from autospine.inference.ensemble_card import ENSEMBLE, PREFIX, EnsembleCard
from autospine.labels.encoding import Encoding
from autospine.labels.schemes import LabelScheme
from autospine.models.files import CARD, WEIGHTS, file_hash
from autospine.models.installed import default_model, model_folder
from autospine.models.provenance import Provenance, SeenScan
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import MOST_VOXELS, Plan
from autospine.planning.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, device, nn

log = logging.getLogger(__name__)

VERSION = 3  # 3: source_weights; sources of the plan


class NetworkBuilder(Protocol):
    """What prediction needs of a trainer, which the registry finds by the name in model.json."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None: ...

    def build(self, shape: NetworkShape) -> nn.Module:
        """Return the network that segments: `(B, in_channels, *patch)` to `(B, out_channels, *patch)`."""


@dataclass(frozen=True)
class ModelCard:
    """Content of model.json."""

    trainer: str  # name of the trainer
    # plan, recipe: those that the model was trained with.
    plan: Plan
    recipe: Recipe
    encoding: Encoding  # meaning of the output channels
    scheme: LabelScheme  # labels of the predicted masks
    shape: NetworkShape  # of the network
    patch: tuple[int, ...]  # voxels along the network's axes
    fold: str  # name of the fold
    trained_on: tuple[str, ...]  # ids of the training cases
    # How often patches were sampled from each data set, where several were joined and that was asked for.
    source_weights: dict[str, float] = field(default_factory=dict)
    seed: int | None = None  # of its weights and patches
    started_from: str = ""  # the model whose weights it started from; empty for fresh ones
    seen: tuple[SeenScan, ...] = ()  # the training cases, and those that the model it started from has seen
    calibration: Calibration = field(default_factory=Calibration)  # of its confidences, by held-out cases
    weights: str = ""  # SHA-256 of the weights' file; `save_model` fills it in
    autospine: str = __version__  # version that trained the model
    version: int = VERSION  # of this file's form

    def __post_init__(self) -> None:
        self.encoding.check_meanings(self.scheme)
        if self.shape.out_channels != self.encoding.channels or self.shape.in_channels != self.plan.network.in_channels:
            raise ValueError("the network's channels are not those of its labels and images")
        if not len(self.patch) == self.shape.dimension == self.plan.dimension or min(self.patch) < 1:
            raise ValueError(f"a patch of {' x '.join(map(str, self.patch))} for {self.plan.dimension} axes")
        if prod(self.patch) > MOST_VOXELS:
            raise ValueError(f"a patch of over {MOST_VOXELS:,} voxels")


@dataclass(frozen=True)
class Model:
    """A model folder that was read."""

    folder: Path  # where it lies
    card: ModelCard  # its model.json
    weight: float = 1.0  # its share beside the models that it is averaged with

    @cached_property
    def name(self) -> str:
        """Return share in an ensemble, trainer, plan, recipe, fold and first digits of the weights' digest."""
        card = self.card
        share = "" if self.weight == 1 else f"{self.weight:g} x "
        return f"{share}{card.trainer}/{card.plan.name}/{card.recipe.name}/fold_{card.fold}@{card.weights[:12]}"

    @cached_property
    def provenance(self) -> Provenance | None:
        """Return its card, which a model that is passed on has."""
        return Provenance.load(self.folder)

    @property
    def labels(self) -> str | None:
        """Return the scheme of its masks where nobody asks for another; None for the data set's own."""
        return None if self.provenance is None else self.provenance.labels

    @property
    def not_seen(self) -> tuple[str, ...]:
        """Return what its training was not shown, as far as its card says so."""
        return () if self.provenance is None else self.provenance.unseen

    def network(self, where: device) -> nn.Module:
        """Load the network with its weights, ready to predict.

        Raises:
            UserError: The trainer is not installed, or the weights are missing, damaged, of another network, or no
                finite numbers.
        """
        trainer: NetworkBuilder = registry.load("trainers", self.card.trainer)(self.card.plan, self.card.recipe)
        network, weights = trainer.build(self.card.shape), self.weights()
        try:
            network.load_state_dict(weights)  # those stored as float16 become float32
        except RuntimeError as error:
            raise UserError(self.folder / WEIGHTS, "does not fit its model.json", "copy the model again") from error
        return network.to(where).eval()

    def weights(self) -> dict[str, Tensor]:
        """Read the weights as they are stored.

        Raises:
            UserError: They are missing, damaged, not those of model.json, or no finite numbers.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.folder / WEIGHTS
        try:
            content = path.read_bytes()  # safetensors opens only names that are UTF-8
            if hashlib.sha256(content).hexdigest() != self.card.weights:
                raise UserError(path, "is damaged or not the one that model.json describes", "copy the model again")
            weights = load(content)
        except (OSError, SafetensorError) as error:
            raise UserError(path, "is missing or damaged", "copy the model again, or train it again") from error
        if not all(value.isfinite().all() for value in weights.values()):
            raise UserError(path, "holds weights that are NaN or infinite", "train the model again")
        return weights


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write the weights, then the card: a folder with a card is whole."""
    from safetensors.torch import save

    plain = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    write_with(folder / WEIGHTS, lambda path: path.write_bytes(save(plain)))  # save_file hides it from other users
    write_json(folder / CARD, to_plain(replace(card, weights=file_hash(folder / WEIGHTS))))


def save_calibration(models: Sequence[Model], calibration: Calibration) -> None:
    """Write the calibration of models that were averaged into the card of each."""
    for model in models:
        write_json(model.folder / CARD, to_plain(replace(model.card, calibration=calibration)))


def read_model(folder: Path) -> Model:
    """Read one model folder, without its weights.

    Raises:
        UserError: It holds no model, or one of another version.
    """
    path = folder / CARD
    data = read_json(path, "name a folder that autospine_train made, with its training finished")
    check_version(data, VERSION, path, "train the model again")
    return Model(folder, from_plain(ModelCard, data, str(path)))


def find_models(folders: Sequence[str | Path]) -> list[Model]:
    """Find the models of folders; a folder of folds stands for all of them, an ensemble for its members.

    An installed model goes by its name, and without any folder the default one is taken, which is said.
    Each folder, or fold, has the same share; an ensemble's is divided among its members by their weights.

    Raises:
        UserError: A folder holds no model, none is installed, or the models differ in labels or grid.
    """
    if not folders:
        return [_default()]
    models = [model for folder in map(model_folder, folders) for model in _models_in(folder)]
    for other in models[1:]:
        check_alike(models[0], other)
    return models


def _default() -> Model:
    model = read_model(default_model().folder)
    card = model.provenance
    title = model.name if card is None else card.title
    unseen = f"; it has not seen {', '.join(model.not_seen)}" if model.not_seen else ""
    log.info("the installed model %s is taken%s", title, unseen)
    return model


def _models_in(folder: Path) -> list[Model]:
    if _finished(folder):
        return _models_of(folder)
    folds = sorted(filter(_finished, folder.glob("fold_[0-9]*"))) or sorted(filter(_finished, folder.glob("fold_*")))
    if folds:
        return [model for fold in folds for model in _models_of(fold)]
    if any(folder.glob(f"{PREFIX}*")):
        raise UserError(
            folder,
            f"holds members of an ensemble but no {ENSEMBLE}",
            "finish its training with --continue, or name one member",
        )
    hint = "name a fold's folder, the folder above its folds, or an installed model (autospine_models lists them)"
    raise UserError(folder, "holds no finished model", hint)


def _finished(folder: Path) -> bool:
    return (folder / ENSEMBLE).exists() or (folder / CARD).exists()


def _models_of(folder: Path) -> list[Model]:
    """Read the model of a folder, or the members of its ensemble."""
    card = folder / ENSEMBLE
    if not card.exists():
        return [read_model(folder)]
    models = []
    for member in EnsembleCard.load(folder).members:
        path = folder / member.folder
        if not (path / CARD).exists():
            raise UserError(path, f"is missing, {card} names it", "copy the whole ensemble again")
        model = read_model(path)
        if model.card.weights != member.digest:
            raise UserError(path, f"is not the member that {card} was made with", "make the ensemble again")
        models.append(replace(model, weight=member.weight))
    return models


def check_alike(first: Model, other: Model) -> None:
    """Make sure that two models can be averaged: the same labels on the same grid.

    Raises:
        UserError: Naming what differs.
    """
    a, b = first.card, other.card
    if a.scheme != b.scheme or a.encoding != b.encoding:
        raise UserError(
            other.folder,
            f"predicts other labels ({_labels(b)}) than {first.folder} ({_labels(a)})",
            "average models of one label scheme",
        )
    hint = "average models of one plan"
    if a.plan.grid.spacing != b.plan.grid.spacing:
        own, others = (
            " x ".join("own" if mm is None else f"{mm:g}" for mm in card.plan.grid.spacing) for card in (a, b)
        )
        raise UserError(other.folder, f"has another plan (spacing {others} mm) than {first.folder} ({own} mm)", hint)
    rules = [(c.plan.grid, c.plan.view_axis, c.plan.normalisation, c.plan.channels) for c in (a, b)]
    if rules[0] != rules[1]:
        raise UserError(other.folder, f"has another plan than {first.folder}", hint)


def _labels(card: ModelCard) -> str:
    how = "levels by order" if card.encoding.ordered else f"{card.encoding.semantic_channels} classes"
    return f"{card.scheme.name}, {how}"
