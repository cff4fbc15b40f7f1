"""autospine_ensemble as one call: models in, one folder out that predicts like a model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from pathlib import Path

import torch

from autospine.core.errors import UserError
from autospine.core.files import check_writable, write_with
from autospine.core.machine import find_machine
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import listed
from autospine.ensemble.selection import EnsembleSpec, choose, chosen_weights, save_ensemble
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.ensemble_card import ENSEMBLE, PREFIX, weights_fault
from autospine.inference.model import CARD, WEIGHTS, Model, check_alike, read_model
from autospine.planning.split_strategies import FILE, Split
from autospine.planning.splits import Fold, Subset, read_splits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnsembleRequest:
    """What autospine_ensemble is asked.

    Attributes:
        models: Model folders, two or more.
        output: Folder for the ensemble.
        weights: One per model, their sum 1; None gives all the same.
        search: Choose the weights by mean IoU on validation cases.
        work: Of the search, the models' work folder.
        fold: Of the search, a fold of `work`; None is the split that the first model was trained by.
        device: "auto", "cpu" or "cuda".
    """

    models: tuple[Path, ...]
    output: Path
    weights: tuple[float, ...] | None = None
    search: bool = False
    work: Path | None = None
    fold: str | None = None
    device: str = "auto"


def make_ensemble(request: EnsembleRequest) -> str:
    """Makes the ensemble; gives what a person reads at the end.

    Raises:
        UserError: The models do not go together, or an option does not fit them.
    """
    models = _read(request.models)
    for file, what in ((ENSEMBLE, "an ensemble"), (CARD, "a model")):
        if (request.output / file).exists():
            raise UserError(request.output, f"already holds {what}", "name another folder, or delete it")
    _check_weights(request, len(models))
    names = names_of(models)
    if not request.search:
        check_writable(request.output)
        weights = request.weights or (1 / len(models),) * len(models)
        reason = "given by the user" if request.weights else "every member has the same weight"
        lines = [", ".join(f"{weight:g} x {name}" for weight, name in zip(weights, names, strict=True))]
    else:
        work, fold = _searched(request, models)
        check_writable(request.output)
        slices = fold.slices
        table = choose(
            EnsembleSpec(
                models=tuple(models),
                names=names,
                validation=Subset("validation", fold.validation, slices.validation if slices else None),
                test=fold.eval_subset if fold.test else None,
                hill_climb=True,
            ),
            work,
            request.output,
            torch.device(find_machine(request.device, None).device),
        )
        weights, reason = chosen_weights(table)
        lines = [table.as_markdown()]
    copies = [_copy(m, request.output, n) for m, n, w in zip(models, names, weights, strict=True) if w]
    save_ensemble(request.output, copies, [weight for weight in weights if weight], reason)
    lines.append(f"ensemble in {request.output}")
    lines.append(f"next: autospine_predict -i SCANS -o MASKS -m {request.output} --overlay")
    return "\n".join(lines)


def _read(folders: Sequence[Path]) -> list[Model]:
    """The models, alike in labels and plan, trained on the same cases."""
    if len(folders) < 2:
        raise UserError("--model", "names one model", "name two or more")
    for k, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:k]]:
            raise UserError(folder, "is given twice", "name each model once")
        if (folder / ENSEMBLE).exists():
            raise UserError(folder, "is an ensemble itself", f"name its members, {folder / PREFIX}...")
    models = [read_model(folder) for folder in folders]
    for folder in folders:
        if not (folder / WEIGHTS).exists():
            raise UserError(folder / WEIGHTS, "does not exist", "copy the model again, or train it again")
    for other in models[1:]:
        check_alike(models[0], other)
        _check_fold(models[0], other)
    return models


def _check_fold(first: Model, other: Model) -> None:
    if set(first.card.trained_on) != set(other.card.trained_on):
        only = sorted(set(first.card.trained_on) ^ set(other.card.trained_on))
        raise UserError(
            other.folder,
            f"was trained on another fold than {first.folder} ({listed(only)} by one of them only)",
            "take models of one fold, so that the same cases are new to all of them",
        )
    own, theirs = (split_of(model) for model in (first, other))
    if own and theirs and (own.warning or theirs.warning) and own.fold != theirs.fold:
        raise UserError(
            other.folder,
            f"was trained on other slices than {first.folder}",
            "take models of one fold, so that the same slices are new to all of them",
        )


def _check_weights(request: EnsembleRequest, count: int) -> None:
    if not request.search and (request.work or request.fold):
        raise UserError("--work" if request.work else "--fold", "belongs to --search", "add --search")
    if request.weights is None:
        return
    said = "--weights " + " ".join(f"{weight:g}" for weight in request.weights)
    if len(request.weights) != count:
        raise UserError(
            said,
            f"gives {len(request.weights)} for {count} models",
            "give one weight per model, in their order",
        )
    problem = weights_fault(request.weights)
    if problem:
        raise UserError(said, problem, "give shares of one, such as 0.85 0.15")


def names_of(models: Sequence[Model]) -> tuple[str, ...]:
    """What members are called: their folder's name if it is a member's, else their trainer; numbered where alike."""
    names: list[str] = []
    for model in models:
        folder = model.folder.resolve().name
        name = folder.removeprefix(PREFIX) if folder.startswith(PREFIX) else model.card.trainer
        numbered = (f"{name}_{number}" for number in count(2))
        names.append(next(each for each in chain([name], numbered) if each not in names))
    return tuple(names)


def _searched(request: EnsembleRequest, models: Sequence[Model]) -> tuple[WorkFolder, Fold]:
    """The work folder and the fold whose validation cases decide.

    Raises:
        UserError: There are none, or a model was trained on them.
    """
    if request.work is None:
        raise UserError("--search", "needs the annotated cases", "add --work WORK")
    work = WorkFolder(request.work)
    work.check()
    split = _begun_with(models[0]) if request.fold is None else _numbered(work, request.fold)
    fold = split.fold
    said = "--search" if request.fold is None else f"--fold {request.fold}"
    if not fold.validation:
        raise UserError(said, "has no validation case to choose weights on", "name another --fold")
    known = work.load_sources()
    foreign = [case for case in fold.cases if case not in known]
    if foreign:
        raise UserError(request.work, f"does not have the case {foreign[0]}", "name the models' work folder")
    if split.warning:  # a case stands on several sides
        log.warning("WARNING: %s", split.warning)
        return work, fold
    for model in models:
        seen = sorted(set(model.card.trained_on) & {*fold.validation, *fold.test})
        if seen:
            raise UserError(
                model.folder,
                f"was trained on {listed(seen)} of {said}'s cases",
                "choose the fold that the models were trained without",
            )
    return work, fold


def _begun_with(model: Model) -> Split:
    """The split that a model was trained by.

    Raises:
        UserError: It is not known.
    """
    split = split_of(model)
    if split is None:
        raise UserError(model.folder / FILE, "does not exist", "say --fold K")
    return split


def split_of(model: Model) -> Split | None:
    """Who trained and who was scored, None where that is not known; a member's split.json lies above it."""
    for folder in (model.folder, model.folder.resolve().parent):
        if (folder / FILE).exists():
            return Split.load(folder)
    return None


def _numbered(work: WorkFolder, asked: str) -> Split:
    splits = read_splits(work.splits, Fingerprint.load(work.fingerprint).cases)
    folds = splits.folds
    if asked not in map(str, range(len(folds))):
        known = ", ".join(map(str, range(len(folds))))
        raise UserError(f"--fold {asked}", "does not exist", f"choose from {known}")
    return Split("folds", folds[int(asked)], splits.reason)


def _copy(model: Model, output: Path, name: str) -> Model:
    """A member's weights and card in the ensemble's folder, so that it can be moved as a whole."""
    folder = output / f"{PREFIX}{name}"
    for file in (WEIGHTS, CARD):
        write_with(folder / file, partial(shutil.copyfile, model.folder / file))
    return replace(model, folder=folder)
