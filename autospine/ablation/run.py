"""Trains a paper's variants one after another, and writes its tables."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from autospine.ablation.budget import FILE as BUDGET
from autospine.ablation.budget import AblationBudget, continued
from autospine.ablation.scores import read_cases
from autospine.ablation.size import resized
from autospine.ablation.tables import FILE, AblationResult, Trained, write_tables
from autospine.ablation.variants import Ablation, Variant
from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.files import write_json
from autospine.core.serial import to_plain
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import read_model
from autospine.models.files import CARD
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.split_strategies import Split
from autospine.training.checkpoint import load_checkpoint
from autospine.training.folds import choose_splits, read_case_pool
from autospine.training.resolution import FILE as PLAN
from autospine.training.resolution import read_plan
from autospine.training.run import TrainRequest, choose_plan, train
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
SCORED = "summary.json"  # what a validation writes


@dataclass(frozen=True)
class AblateRequest:
    """What autospine_ablate is asked.

    Attributes:
        work: Folder that planning filled.
        trainer: One that declares variants.
        plan: Name of a plan; None takes the first that the trainer takes.
        recipe: Name of one of the trainer's recipes; None takes its first.
        fold: A fold's number.
        init_from: The model whose weights every variant starts from, or "none".
        epochs: Of each variant; None takes the recipe's.
        minutes: For each variant, validation included.
        size: Pixels of the longer side of the slices; None follows the recipe.
        seed: Of weights and patches.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        resume: Go on where an ablation stopped.
    """

    work: Path
    trainer: str
    plan: str | None = None
    recipe: str | None = None
    fold: str = "0"
    init_from: str = "none"
    epochs: int | None = None
    minutes: float | None = None
    size: int | None = None
    seed: int = 0
    device: str = "auto"
    resume: bool = False


@dataclass(frozen=True)
class VariantJob:
    """One variant to train."""

    variant: Variant
    trainer: Trainer  # with the variant's recipe
    folder: Path  # of its model

    @property
    def started(self) -> bool:
        """Return whether a training has been here."""
        return any((self.folder / name).exists() for name in (CARD, CHECKPOINT))

    @property
    def scored(self) -> Path | None:
        """Return where its predictions and scores lie; None until it is trained and validated."""
        if not (self.folder / CARD).exists():
            return None
        folder = self.folder / Split.load(self.folder).fold.eval_subset.name
        return folder if (folder / SCORED).exists() else None


def ablate(request: AblateRequest) -> str:
    """Train every variant that is not finished, write the tables and return them as text.

    Raises:
        UserError: An option, the work folder or the machine does not allow it.
    """
    work = WorkFolder(request.work)
    work.check()
    kind = registry.load("trainers", request.trainer)
    ablation = _ablation(kind)
    plan = choose_plan(kind, work, request.plan)
    base = kind.recipe_named(request.recipe)
    if request.size is not None:
        base = resized(base, plan, request.size)
    if not request.fold.isdigit():
        raise UserError(f"--fold {request.fold}", "is no single fold", "give its number")
    jobs = [_job(kind, plan, base, variant, work, request.fold) for variant in ablation.variants]
    folder = work.root / "ablations" / kind.name / plan.name / base.name / f"fold_{request.fold}"
    budget = _budget(request, jobs, folder)
    if not any(job.started for job in jobs):
        _check_fold(jobs[0].trainer, work, request.fold)
    write_json(folder / BUDGET, to_plain(budget))
    for number, job in enumerate(jobs, start=1):
        title = f"variant {number} of {len(jobs)}: {job.variant.title}"
        _train(job, request, budget, title, _common_plan(jobs))
    training = f"{kind.name}, recipe {base.name}, plan {plan.name}, fold {request.fold}; each variant: "
    result = AblationResult(
        ablation,
        tuple(_trained(job, ablation, request.work) for job in jobs),
        _patients(work),
        f"{training}{budget.text}, seed {budget.seed}.",
    )
    return f"{write_tables(folder, result)}\ntables in {folder / FILE}.md, {FILE}.csv and tests.csv beside it"


def _ablation(kind: type[Trainer]) -> Ablation:
    """Return the trainer's ablation.

    Raises:
        UserError: It has none; names the trainers that have.
    """
    declared: Ablation | None = getattr(kind, "ablation", None)
    if declared is not None:
        return declared
    names = [name for name in sorted(registry.known("trainers")) if _has_one(name)]
    hint = f"choose from {', '.join(names)}" if names else "install a trainer that has some"
    raise UserError(f"--trainer {kind.name}", "declares no variants", hint)


def _has_one(name: str) -> bool:
    try:
        return getattr(registry.load("trainers", name), "ablation", None) is not None
    except UserError:
        return False


def _job(kind: type[Trainer], plan: Plan, base: Recipe, variant: Variant, work: WorkFolder, fold: str) -> VariantJob:
    recipe = replace(base, name=f"{base.name}_{variant.name}", options={**base.options, **variant.options})
    trainer = kind(plan, recipe)
    return VariantJob(variant, trainer, work.model(kind.name, plan.name, recipe.name, fold))


def _budget(request: AblateRequest, jobs: list[VariantJob], folder: Path) -> AblationBudget:
    """Return the budget asked for, else the recipe's epochs; when continuing, the one written in `folder`.

    Raises:
        UserError: Something is there already, it was begun with another budget, or no variant could train with it.
    """
    started = next((job.folder for job in jobs if job.started), None)
    if started is not None and not request.resume:
        raise UserError(started, "already holds a training", "add --continue to go on with it, or delete the folder")
    budget = AblationBudget(request.epochs, request.minutes, request.seed)
    if request.resume:
        budget = continued(budget, folder, started is not None)
    if budget.open:
        budget = replace(budget, epochs=jobs[0].trainer.recipe.epochs)
    budget.check()
    return budget


def _check_fold(trainer: Trainer, work: WorkFolder, fold: str) -> None:
    """Refuse a fold that does not exist; slices are split by the training, which first prepares every case."""
    split = trainer.recipe.split
    if split is None or split.by != "slices":
        choose_splits(trainer, work, read_case_pool(work), fold)


def _common_plan(jobs: Sequence[VariantJob]) -> Plan | None:
    """Return the plan as the first variant took it, which all of them are compared on; None for the first."""
    noted = next((job.folder for job in jobs if (job.folder / PLAN).exists()), None)
    return None if noted is None else read_plan(noted)


def _train(job: VariantJob, request: AblateRequest, budget: AblationBudget, title: str, plan: Plan | None) -> None:
    """Train and validate one variant, unless that is done."""
    if job.scored is not None:
        log.info("%s: is trained already", title)
        return
    log.info("%s, in %s", title, job.folder)
    train(
        TrainRequest(
            work=request.work,
            trainer=job.trainer.name,
            plan=job.trainer.plan.name,
            fold=request.fold,
            init_from=request.init_from,
            epochs=budget.epochs,
            minutes=budget.minutes,
            seed=budget.seed,
            device=request.device,
            resume=job.started,
        ),
        job.trainer.recipe,
        plan,
    )


def _trained(job: VariantJob, ablation: Ablation, work: Path) -> Trained:
    """Return a finished variant with its scores."""
    scored = job.scored
    if scored is None:
        raise UserError(job.folder, "has no scores", "run the command again with --continue")
    if ablation.measure is None:
        scores = read_cases(scored, ablation.metrics)
    else:
        subset = Split.load(job.folder).fold.eval_subset
        scores = list(ablation.measure(job.trainer, scored, subset, work))
    widths = read_model(job.folder).card.shape.widths
    return Trained(job.variant, _updates(job.folder), widths, tuple(scores), _precision(job.folder))


def _updates(folder: Path) -> int:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return int(list(csv.DictReader(file))[-1]["step"])


def _precision(folder: Path) -> str:
    """Return the number format that was measured to be the fastest; "-" where the checkpoint was deleted."""
    path = folder / CHECKPOINT
    if not path.exists():
        return "-"
    return str(load_checkpoint(path, torch.device("cpu"))["budget"]["precision"]["dtype"])


def _patients(work: WorkFolder) -> Mapping[str, str]:
    return {case.id: case.patient for case in Fingerprint.load(work.fingerprint).cases}
