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
from autospine.core.overwriting import check_folders
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import listed
from autospine.ensemble.selection import EnsembleSpec, choose_weights, save_ensemble
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.ensemble_card import ENSEMBLE, PREFIX, weights_problem
from autospine.inference.model import Model, check_alike, read_model
from autospine.models.files import CARD, WEIGHTS
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
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
    """

    models: tuple[Path, ...]
    output: Path
    weights: tuple[float, ...] | None = None
    search: bool = False
    work: Path | None = None
    fold: str | None = None
    device: str = "auto"


def make_ensemble(request: EnsembleRequest) -> str:
    """Make the ensemble; return the lines that the command prints at the end.

    Raises:
        UserError: The models do not go together, or an option does not fit them.
    """
    models = _read_members(request.models)
    for file, what in ((ENSEMBLE, "an ensemble"), (CARD, "a model")):
        if (request.output / file).exists():
            raise UserError(request.output, f"already holds {what}", "name another folder, or delete it")
    _check_options(request, len(models))
    names = names_of(models)
    check_folders([request.output / f"{PREFIX}{name}" for name in names], [model.folder / CARD for model in models])
    if request.search:
        work, fold = _search_fold(request, models)
        check_writable(request.output)
        validation = Subset("validation", fold.validation, fold.slices.validation if fold.slices else None)
        test = fold.eval_subset if fold.test else None
        spec = EnsembleSpec(tuple(models), names, validation, test, hill_climb=True)
        report = choose_weights(spec, work, request.output, torch.device(find_machine(request.device, None).device))
        weights, reason, text = report.weights, report.reason, report.as_markdown()
    else:
        check_writable(request.output)
        weights = request.weights or (1 / len(models),) * len(models)
        reason = "given by the user" if request.weights else "every member has the same weight"
        text = ", ".join(f"{weight:g} x {name}" for weight, name in zip(weights, names, strict=True))
    copies = [_copy(m, request.output, n) for m, n, w in zip(models, names, weights, strict=True) if w]
    save_ensemble(request.output, copies, [weight for weight in weights if weight], reason)
    hint = f"next: autospine_predict -i SCANS -o MASKS -m {request.output} --overlay"
    return "\n".join([text, f"ensemble in {request.output}", hint])


def _read_members(folders: Sequence[Path]) -> list[Model]:
    """Read the models and make sure that they are alike in labels and plan and were trained on the same cases."""
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
    difference = sorted(set(first.card.trained_on) ^ set(other.card.trained_on))
    if difference:
        raise UserError(
            other.folder,
            f"was trained on another fold than {first.folder} ({listed(difference)} by one of them only)",
            "take models of one fold, so that the same cases are new to all of them",
        )
    split, other_split = split_of(first), split_of(other)
    if split and other_split and (split.warning or other_split.warning) and split.fold != other_split.fold:
        raise UserError(
            other.folder,
            f"was trained on other slices than {first.folder}",
            "take models of one fold, so that the same slices are new to all of them",
        )


def _check_options(request: EnsembleRequest, models: int) -> None:
    if not request.search and (request.work or request.fold):
        raise UserError("--work" if request.work else "--fold", "belongs to --search", "add --search")
    if request.weights is None:
        return
    option = "--weights " + " ".join(f"{weight:g}" for weight in request.weights)
    if len(request.weights) != models:
        problem = f"gives {len(request.weights)} for {models} models"
        raise UserError(option, problem, "give one weight per model, in their order")
    if problem := weights_problem(request.weights):
        raise UserError(option, problem, "give shares of one, such as 0.85 0.15")


def names_of(models: Sequence[Model]) -> tuple[str, ...]:
    """Name members by their folder if it is a member's, else by their trainer; number equal names."""
    names: list[str] = []
    for model in models:
        folder = model.folder.resolve().name
        name = folder.removeprefix(PREFIX) if folder.startswith(PREFIX) else model.card.trainer
        numbered = (f"{name}_{number}" for number in count(2))
        names.append(next(free for free in chain([name], numbered) if free not in names))
    return tuple(names)


def _search_fold(request: EnsembleRequest, models: Sequence[Model]) -> tuple[WorkFolder, Fold]:
    """Return the work folder and the fold whose validation cases the weights are chosen on.

    Raises:
        UserError: There are none, or a model was trained on them.
    """
    if request.work is None:
        raise UserError("--search", "needs the annotated cases", "add --work WORK")
    work = WorkFolder(request.work)
    work.check()
    split = _split_by_number(work, request.fold) if request.fold is not None else split_of(models[0])
    if split is None:
        raise UserError(models[0].folder / FILE, "does not exist", "say --fold K")
    fold = split.fold
    option = "--search" if request.fold is None else f"--fold {request.fold}"
    if not fold.validation:
        raise UserError(option, "has no validation case to choose weights on", "name another --fold")
    known = work.load_sources()
    foreign = [case for case in fold.cases if case not in known]
    if foreign:
        raise UserError(request.work, f"does not have the case {foreign[0]}", "name the models' work folder")
    if split.warning:  # a case stands on several sides
        log.warning("WARNING: %s", split.warning)
        return work, fold
    for model in models:
        trained_on = sorted(set(model.card.trained_on) & {*fold.validation, *fold.test})
        if trained_on:
            raise UserError(
                model.folder,
                f"was trained on {listed(trained_on)} of {option}'s cases",
                "choose the fold that the models were trained without",
            )
    return work, fold


def split_of(model: Model) -> Split | None:
    """Return the split that a model was trained by, None where none is stored; a member's lies above its folder."""
    for folder in (model.folder, model.folder.resolve().parent):
        if (folder / FILE).exists():
            return Split.load(folder)
    return None


def _split_by_number(work: WorkFolder, number: str) -> Split:
    splits = read_splits(work.splits, Fingerprint.load(work.fingerprint).cases)
    known = [str(k) for k in range(len(splits.folds))]
    if number not in known:
        raise UserError(f"--fold {number}", "does not exist", f"choose from {', '.join(known)}")
    return Split("folds", splits.folds[int(number)], splits.reason)


def _copy(model: Model, output: Path, name: str) -> Model:
    """Copy a member's weights and card into the ensemble's folder, so that it can be moved as a whole."""
    folder = output / f"{PREFIX}{name}"
    for file in (WEIGHTS, CARD):
        write_with(folder / file, partial(shutil.copyfile, model.folder / file))
    return replace(model, folder=folder)
