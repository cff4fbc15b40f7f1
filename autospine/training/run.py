"""Training as one call: which folds, what is there already, and the table at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

import torch

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.locks import locked
from autospine.core.machine import cores, find_machine, keep_freed_memory
from autospine.core.workspace import WorkFolder
from autospine.evaluation.case import CaseScore
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.text import as_text
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.labels.conversion import missing_classes
from autospine.models.files import CARD
from autospine.planning.plan import Plan, Plans
from autospine.planning.recipe import Recipe
from autospine.planning.split_strategies import Split, override
from autospine.planning.splits import Fold, Subset
from autospine.training import distributed
from autospine.training.data import Loader
from autospine.training.folds import (
    CasePool,
    choose_splits,
    kept_split,
    read_case_pool,
    sequence_named,
)
from autospine.training.initialisation import find_start, kept_start, scored_cases, start_of_fold
from autospine.training.job import TrainingJob
from autospine.training.loop import fit
from autospine.training.options import check_options, option_suffixes
from autospine.training.resolution import at_resolution
from autospine.training.trainer import MultiModelTrainer, Trainer
from autospine.training.validation import evaluation_of, score_cases, validate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRequest:
    """What autospine_train is asked.

    Attributes:
        work: Folder that planning filled.
        trainer: Name of a trainer.
        plan: Name of a plan; None takes what the trainer is made for.
        fold: A fold's number, "cv" for every fold, "all" for every case.
        recipe: Name of one of the trainer's recipes; None takes its first.
        init_from: The model whose weights are started from: "none", "box", an installed model's name or a folder; None
            takes what trainings start from by themselves.
        split: "patient" or "slices"; None splits as the recipe says.
        sequence: Train and score on cases of one sequence; None takes all.
        allow_missing_classes: Train although the data lack a structure of the trainer's scheme.
        members: Of an ensemble, the networks to train; None trains all.
        options: Choices that the trainer offers beside its recipes.
        epochs: Of each fold; None takes the recipe's.
        minutes: For each fold, validation included.
        seed: Of weights and patches.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        resume: Go on where a training stopped.
        held_out: Score the data set's validation subset as well.
        compile: Use torch.compile.
        tensorboard: Log for TensorBoard too.
        loader: How batches are made: "auto", "memory", "threads" or "processes".
        source_weights: How often patches are sampled from each of several data sets; those that are not named have 1.
    """

    work: Path
    trainer: str = "unet"
    plan: str | None = None
    fold: str = "0"
    recipe: str | None = None
    init_from: str | None = None
    split: str | None = None
    sequence: str | None = None
    allow_missing_classes: bool = False
    members: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    minutes: float | None = None
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    held_out: bool = False
    compile: bool = False
    tensorboard: bool = False
    loader: Loader = "auto"
    source_weights: Mapping[str, float] = field(default_factory=dict)


def train(request: TrainRequest, recipe: Recipe | None = None, plan: Plan | None = None) -> str:
    """Train what was asked for; return what a person reads at the end.

    Args:
        request: What was asked for.
        recipe: Instead of the one that the request names.
        plan: Instead of the one that the request names, whatever the time allows.

    Raises:
        UserError: An option, the work folder or the machine does not allow it.
    """
    _check_numbers(request)
    if request.tensorboard and find_spec("tensorboard") is None:
        hint = "pip install 'autospine[tensorboard]', or leave it out"
        raise UserError("--tensorboard", "needs the package tensorboard, which is not installed", hint)
    work = WorkFolder(request.work)
    work.check()
    kind = registry.load("trainers", request.trainer)
    plan_fixed = plan is not None
    plan = plan or choose_plan(kind, work, request.plan)
    sequence = sequence_named(request.sequence)
    trainer: Trainer = kind(plan, _recipe(kind, request, sequence, recipe))
    _check_classes(trainer, request.allow_missing_classes)
    check_source_weights(request.source_weights, plan)
    pool = read_case_pool(work, sequence)
    held_out = _held_out(pool) if request.held_out else ()
    start, cases = find_start(request.init_from, trainer), Fingerprint.load(work.fingerprint).cases
    machine = find_machine(request.device, None)
    if machine.device == "cpu":
        keep_freed_memory()
    with distributed.process_group(machine.device) as device, ExitStack() as locks:
        splits = choose_splits(trainer, work, pool, request.fold)
        jobs = [
            replace(
                _job(request, trainer, work, name, split.fold, device),
                start=start_of_fold(start, name, scored_cases(split.fold, held_out), cases),
            )
            for name, split in splits.items()
        ]
        for job in jobs:
            if distributed.is_main():
                locks.enter_context(locked(job.folder, f"trains fold {job.fold_name}", wait=False))
            _check_folder(job.folder, request)
        jobs = [_begun(job, splits[job.fold_name]) for job in jobs]
        evaluations = [_finish_fold(trainer, replace(job, started=time.monotonic()), plan_fixed) for job in jobs]
        text = _describe(trainer, [e for e in evaluations if e is not None], jobs)
        warning = next(iter(splits.values())).warning
        if warning:
            text += f"\nWARNING: {warning}"
        if held_out and distributed.is_main():
            text += "".join(_held_out_report(trainer, job, Subset("held_out", held_out)) for job in jobs)
    return text


def _held_out_report(trainer: Trainer, job: TrainingJob, subset: Subset) -> str:
    calibrates = not job.fold.eval_subset.cases  # nothing else was held out
    evaluation = score_cases(trainer, job.work, job.folder, job.device, subset, calibrates)
    table = as_text(MethodComparison((evaluation,)))
    return f"\n\n{job.folder.name} on the {len(subset.cases)} held-out cases:\n{table}"


def _recipe(kind: type[Trainer], request: TrainRequest, sequence: str | None, given: Recipe | None) -> Recipe:
    """Return the recipe asked for; its name, and so the model's folder, says what was asked for besides."""
    recipe = given or kind.recipe_named(request.recipe)
    split = override(recipe.split, request.split)
    names = [recipe.name]
    if split != recipe.split and split is not None:
        names.append(split.by)
    if sequence:
        names.append(sequence)
    asked = dict(request.options)
    names += option_suffixes(asked)
    if request.members is not None:  # not in the name: a later call may name more of them
        asked["members"] = list(request.members)
    options = {**recipe.options, **asked}
    check_options(kind, options, asked)
    return replace(recipe, name="_".join(names), split=split, options=options)


def _check_classes(trainer: Trainer, allowed: bool) -> None:
    """Name the structures of a trainer's scheme that the data lack; refuse them where a paper fixes the scheme.

    Raises:
        UserError: Naming the structures.
    """
    if trainer.scheme is None:
        return
    scheme, derived = trainer.label_scheme, trainer.derived
    missing = missing_classes(derived.scheme, scheme, derived.shown)
    if not missing:
        return
    names = ", ".join(anatomy.name for anatomy in missing)
    if trainer.needs_all_classes and not allowed:
        problem = f"learns {scheme.name}, of which the data set shows no {names}"
        hint = "annotate it, or add --allow-missing-classes to learn the rest"
        raise UserError(f"--trainer {trainer.name}", problem, hint)
    log.warning(
        "the data set shows no %s: %s learns the rest, and they are absent from the scores",
        names,
        trainer.name,
    )


def _begun(job: TrainingJob, split: Split) -> TrainingJob:
    """Return a job with the fold and the start that it was begun with, noted in the model's folder."""
    return replace(job, fold=_kept(job, split), start=kept_start(job.folder, job.start, job.resume))


def _kept(job: TrainingJob, split: Split) -> Fold:
    """Return the fold to train, noted in the model's folder and told to the user."""
    kept = kept_split(job.folder, split, job.resume)
    log.info("fold %s: %s", job.fold_name, kept.reason)
    if kept.warning:
        log.warning("WARNING: %s", kept.warning)
    return kept.fold


def _job(
    request: TrainRequest, trainer: Trainer, work: WorkFolder, name: str, fold: Fold, device: torch.device
) -> TrainingJob:
    """Return the training of one fold."""
    return TrainingJob(
        work=work.root,
        folder=work.model(trainer.name, trainer.plan.name, trainer.recipe.name, name),
        cases=work.preprocessed(trainer.plan.cases_name),
        fold=fold,
        fold_name=name,
        device=device,
        seed=request.seed,
        minutes=request.minutes,
        epochs=request.epochs,
        resume=request.resume,
        compile=request.compile,
        tensorboard=request.tensorboard,
        loader=request.loader,
        source_weights=tuple(sorted(request.source_weights.items())),
        workers=max(min(cores() - 1, 8), 1),
    )


def _held_out(pool: CasePool) -> tuple[str, ...]:
    """Return the validation subset of the data set.

    Raises:
        UserError: It has none.
    """
    if not pool.held_out:
        raise UserError("--held-out", "finds no validation subset in the data set", "leave it out")
    return pool.held_out


def _check_numbers(request: TrainRequest) -> None:
    if request.epochs is not None and request.epochs < 1:
        raise UserError("--epochs", f"is {request.epochs}", "ask for at least 1")
    if request.minutes is not None and not 0 < request.minutes < inf:
        raise UserError("--minutes", f"is {request.minutes:g}", "give a positive number")


def check_source_weights(weights: Mapping[str, float], plan: Plan) -> None:
    """Check how often data sets are to be sampled.

    Raises:
        UserError: A data set is not among those of the plan, or a weight is none.
    """
    names = [source.name for source in plan.sources]
    for name, weight in weights.items():
        if name not in names:
            hint = f"choose from {', '.join(names)}" if names else "leave it out: the plan has one data set"
            raise UserError("--source-weights", f"names {name}, none of the plan's data sets", hint)
        if not 0 <= weight < inf:
            raise UserError("--source-weights", f"gives {name} {weight:g}", "give numbers of 0 or more")
    if weights and not any(weights.get(name, 1.0) for name in names):
        raise UserError("--source-weights", "leaves nothing to train on", "give one of them more than 0")


def _check_folder(folder: Path, request: TrainRequest) -> None:
    started = any(next(folder.glob(f"**/{name}"), None) for name in ("checkpoint.pt", CARD))
    if started and not request.resume:
        raise UserError(folder, "already holds a training", "add --continue to go on with it, or delete the folder")


def train_fold(trainer: Trainer, job: TrainingJob) -> Evaluation | None:
    """Train one fold and validate it; return the scores, None where there is nothing to validate on."""
    if isinstance(trainer, MultiModelTrainer):
        return trainer.train(job)
    fit(trainer, job)
    return validate(trainer, job)


def _finish_fold(trainer: Trainer, job: TrainingJob, plan_fixed: bool) -> Evaluation | None:
    """Train a fold on the grid that its time allows, or validate it alone where it is trained already."""
    trainer, job = at_resolution(trainer, job, plan_fixed)
    if job.resume and job.epochs is None and (job.folder / CARD).exists():
        log.info("fold %s %s", job.fold_name, job.already)
        return validate(trainer, job)
    return train_fold(trainer, job)


def _describe(trainer: Trainer, evaluations: list[Evaluation], jobs: list[TrainingJob]) -> str:
    lines = []
    cases: list[CaseScore] = [case for evaluation in evaluations for case in evaluation.cases]
    if cases:
        subset = Split.load(jobs[0].folder).fold.eval_subset  # as it was trained: a trainer may take slices alone
        what = "tested on" if subset.name == "test" else "validated on"
        if subset.name == "validation" and len(evaluations) > 1:
            what = "cross-validated over"
        unit = "case" if subset.slices is None else "slice"
        unit += "" if len(cases) == 1 else "s"
        evaluation = evaluation_of(cases, trainer, jobs[0].work)
        lines += [f"{what} {len(cases)} {unit}:", as_text(MethodComparison((evaluation,)))]
    folder = jobs[0].folder.parent if len(jobs) > 1 else jobs[0].folder
    lines.append(f"{'models' if len(jobs) > 1 else 'model'} in {folder}")
    lines.append(f"next: autospine_predict -i SCANS -o MASKS -m {folder} --overlay")
    return "\n".join(lines)


USUAL = "2d_sagittal"  # of a trainer that takes any


def choose_plan(kind: type[Trainer], work: WorkFolder, name: str | None) -> Plan:
    """Return the plan asked for; else the first of the trainer's own that was made; else the only one there is.

    Raises:
        UserError: There is none of that name; names those that there are.
    """
    plans = Plans.load(work.plans)
    names = [plan.name for plan in plans.plans]
    wanted = kind.plans or (USUAL,)
    if name is None:
        planned = [plan for plan in wanted if plan in names]
        name = planned[0] if planned else names[0] if len(names) == 1 else wanted[0]
    return plans.get(name, work.plans)
