"""Training as one call: which folds, what is there already, and the table at the end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from autospine import registry
from autospine.dataset.splits import Fold, read_splits
from autospine.errors import UserError
from autospine.evaluation.evaluation import CaseScore, Evaluation
from autospine.files import writing_error
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.machine import cores, find_machine
from autospine.model import CARD
from autospine.planning.plan import Plan, Plans
from autospine.training import distributed
from autospine.training.job import Job
from autospine.training.trainer import Trainer
from autospine.training.validation import evaluation_of, score_cases, validate
from autospine.work import WorkFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRequest:
    """What autospine_train is asked; see its --help."""

    work: Path
    trainer: str = "unet"
    plan: str | None = None
    fold: str = "0"
    recipe: str | None = None
    epochs: int | None = None
    minutes: float | None = None
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    held_out: bool = False
    compile: bool = False
    tensorboard: bool = False


def train(request: TrainRequest) -> str:
    """Trains what was asked for; gives what a person reads at the end.

    Raises:
        UserError: An option, the work folder or the machine does not allow it.
    """
    _check_numbers(request)
    work = WorkFolder(request.work)
    work.check()
    plan = _choose_plan(work, request.plan)
    kind = registry.load("trainers", request.trainer)
    trainer: Trainer = kind(plan, kind.recipe_named(request.recipe))
    folds = choose_folds(work, request.fold)
    held_out = find_held_out(work) if request.held_out else ()
    machine = find_machine(request.device, None)
    with distributed.process_group(machine.device) as device:
        jobs = [_job(request, trainer, work, name, fold, device) for name, fold in folds.items()]
        for job in jobs:
            _check_folder(job.folder, request)
        evaluations = [_train_fold(trainer, replace(job, started=time.monotonic())) for job in jobs]
        folders = [job.folder for job in jobs]
        text = _describe(trainer, [e for e in evaluations if e is not None], folders)
        if held_out and distributed.is_main():
            for folder in folders:
                table = score_cases(trainer, work.root, folder, device, held_out, "held_out").table()
                text += f"\n\n{folder.name} on the {len(held_out)} held-out cases:\n{table}"
    return text


def _job(
    request: TrainRequest, trainer: Trainer, work: WorkFolder, name: str, fold: Fold, device: torch.device
) -> Job:
    """The training of one fold."""
    return Job(
        work=work.root,
        folder=work.model(trainer.name, trainer.plan.name, trainer.recipe.name, name),
        cases=work.preprocessed(trainer.plan.name),
        fold=fold,
        fold_name=name,
        device=device,
        seed=request.seed,
        minutes=request.minutes,
        epochs=request.epochs,
        resume=request.resume,
        compile=request.compile,
        tensorboard=request.tensorboard,
        threads=max(min(cores() - 1, 8), 1),
    )


def find_held_out(work: WorkFolder) -> tuple[str, ...]:
    """The validation subset of the data set, which no fold has seen.

    Raises:
        UserError: It has none.
    """
    ids = read_splits(work.splits, Fingerprint.load(work.fingerprint).cases).held_out
    if not ids:
        raise UserError("--held-out", "finds no validation subset in the data set", "leave it out")
    return ids


def _check_numbers(request: TrainRequest) -> None:
    if request.epochs is not None and request.epochs < 1:
        raise UserError("--epochs", f"is {request.epochs}", "ask for at least 1")
    if request.minutes is not None and request.minutes <= 0:
        raise UserError("--minutes", f"is {request.minutes:g}", "give a positive number")


def _choose_plan(work: WorkFolder, name: str | None) -> Plan:
    plans = Plans.load(work.plans)
    if name is None and len(plans.plans) == 1:
        return plans.plans[0]
    return plans.get(name or "2d_sagittal", work.plans)


def choose_folds(work: WorkFolder, asked: str) -> dict[str, Fold]:
    """The folds of --fold: a number, "cv" for each, "all" for every training case.

    Raises:
        UserError: There is no such fold.
    """
    splits = read_splits(work.splits, Fingerprint.load(work.fingerprint).cases)
    numbered = {str(k): fold for k, fold in enumerate(splits.folds)}
    if asked == "cv":
        return numbered
    if asked == "all":
        everyone = dict.fromkeys(i for fold in splits.folds for i in (*fold.train, *fold.validation))
        return {"all": Fold(tuple(everyone), ())}
    if asked not in numbered:
        raise UserError(f"--fold {asked}", "does not exist", f"choose from {', '.join(numbered)}, cv, all")
    return {asked: numbered[asked]}


def _check_folder(folder: Path, request: TrainRequest) -> None:
    started = any(next(folder.glob(f"**/{name}"), None) for name in ("checkpoint.pt", CARD))
    if started and not request.resume:
        raise UserError(
            folder, "already holds a training", "add --continue to go on with it, or delete the folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(folder, error) from error


def _train_fold(trainer: Trainer, job: Job) -> Evaluation | None:
    finished = (job.folder / CARD).exists() and job.epochs is None
    if finished and job.resume:
        log.info("fold %s is trained already", job.fold_name)
        return validate(trainer, job)
    return trainer.train(job)


def _describe(trainer: Trainer, evaluations: list[Evaluation], folders: list[Path]) -> str:
    lines = []
    cases: list[CaseScore] = [case for each in evaluations for case in each.cases]
    if cases:
        what = "cross-validated over" if len(evaluations) > 1 else "validated on"
        lines += [f"{what} {len(cases)} cases:", evaluation_of(cases, trainer).table()]
    if len(folders) > 1:
        lines.append(f"models in {folders[0].parent}")
        lines.append(f"next: autospine_predict -i SCANS -o MASKS -m {folders[0].parent} --overlay")
    else:
        lines.append(f"model in {folders[0]}")
        lines.append(f"next: autospine_predict -i SCANS -o MASKS -m {folders[0]} --overlay")
    return "\n".join(lines)
