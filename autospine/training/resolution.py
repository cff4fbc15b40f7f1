"""Resolution of a training that has a time budget: the finest of the plan's grids at which enough updates are made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.machine import workers_for
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import Case
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.models.files import CARD
from autospine.planning.memory import multiply_adds, training_memory_gib
from autospine.planning.plan import Plan, Reason
from autospine.planning.planner import pixel_mm
from autospine.preprocessing.run import preprocess, preprocessing_key
from autospine.preprocessing.storage import CaseStore
from autospine.training import distributed
from autospine.training.around import time_around
from autospine.training.budget import fastest_precision, length_within, validation_cost, width_options
from autospine.training.data import Batch
from autospine.training.epoch_validation import validation_patches, validation_seconds
from autospine.training.job import TrainingJob
from autospine.training.loading import training_and_validation
from autospine.training.profiling import TooLargeError, time_step
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)

FILE = "plan.json"  # in a model's folder: the plan as it is trained
SECONDS_TO_PREPROCESS = 1.0  # a case
LEAST_BATCH = 0.25  # of the plan's, where time is short even on the coarsest grid


def at_resolution(trainer: Trainer, job: TrainingJob, fixed: bool = False) -> tuple[Trainer, TrainingJob]:
    """Choose one of the plan's grids, preprocess the fold's cases for it where they are not, and note the plan.

    A continued training keeps its plan, and a fold takes that of a fold beside it, so that the two can be averaged.

    Args:
        trainer: On the plan with all of its grids.
        job: Its cases are those of the finest grid.
        fixed: Whether the trainer's plan is taken as it is.

    Returns:
        Trainer and job on the grid that is taken.

    Raises:
        UserError: A continued training's plan is none of the work folder's any more, or a case cannot be preprocessed.
    """
    plan = trainer.plan if fixed else kept_plan(trainer.plan, job) or _choose(trainer, job)
    if distributed.is_main():
        write_json(job.folder / FILE, plan.to_dict())
        if plan.pixel_mm is not None:
            preprocess(_cases(job), [plan], job.work, workers_for(0))
    distributed.wait_for_all()
    return trainer.on_plan(plan), replace(job, cases=WorkFolder(job.work).preprocessed(plan.cases_name))


def kept_plan(plan: Plan, job: TrainingJob) -> Plan | None:
    """Return the plan that a continued training was begun with, or that of a fold beside it; None to choose one.

    Raises:
        UserError: The work folder was planned otherwise since.
    """
    known = [_rules(resolution) for resolution in plan.resolutions()]
    if job.resume and (job.folder / FILE).exists():
        begun = read_plan(job.folder)
        if _rules(begun) not in known:
            hint = "delete the model's folder, or plan as before"
            raise UserError(job.folder, "was begun with another plan than the work folder's", hint)
        return begun
    if job.resume and (job.checkpoint.exists() or (job.folder / CARD).exists()):
        return plan.resolutions()[0]
    beside = sorted(job.folder.parent.glob("fold_[0-9]*")) if job.fold_name.isdigit() else []
    for folder in beside:
        if folder != job.folder and (folder / FILE).exists() and _rules(other := read_plan(folder)) in known:
            if job.minutes is not None and plan.coarser:
                log.info("%g mm pixels, as %s: folds on one grid can be averaged", pixel_mm(other), folder.name)
            return other
    return None


def read_plan(folder: Path) -> Plan:
    """Read the plan that a model's folder notes."""
    return Plan.from_dict(read_json(folder / FILE), str(folder / FILE))


def _rules(plan: Plan) -> tuple[object, ...]:
    return plan.grid, plan.normalisation, plan.encoding, plan.patch, plan.network


def _choose(trainer: Trainer, job: TrainingJob) -> Plan:
    """Return the plan that the time allows, with what was given up among its reasons."""
    plans = trainer.plan.resolutions()
    if job.start is not None:
        plans = plans[:1]  # the grid that the start's weights know
    if job.minutes is None or trainer.recipe.patch:  # a paper's patch is taken as it is
        return plans[0]
    clock, enough = _Clock(trainer, plans, job), trainer.recipe.min_updates
    chosen, measured = finest_with_enough(len(plans), lambda k: clock.updates(plans[k]), enough)
    plan, updates = plans[chosen], measured[chosen]
    if trainer.recipe.batch is None:
        batch, updates = batch_with_enough(
            plan.batch, updates, lambda size: clock.updates(replace(plan, batch=size)), enough
        )
        plan = replace(plan, batch=batch)
        plan = replace(plan, memory_gib=round(training_memory_gib(plan), 2))
    reason = reason_for(plans, measured, plan, updates, job.minutes)
    log.info("%s: %s", reason.decision, reason.because)
    return replace(plan, reasons=(*plan.reasons, reason))


def finest_with_enough(count: int, updates: Callable[[int], int], enough: int) -> tuple[int, dict[int, int]]:
    """Choose the finest grid on which enough updates can be made, else the coarsest.

    The coarsest is measured first, since measuring takes time too: a finer one only where all coarser ones are enough.

    Args:
        count: Of grids, from the finest.
        updates: On one of them, measured.
        enough: Updates.

    Returns:
        Its index, and the updates on the grids that were measured.
    """
    measured: dict[int, int] = {}
    for k in reversed(range(count)):
        measured[k] = updates(k)
        if measured[k] < enough:
            break
    return min((k for k, made in measured.items() if made >= enough), default=count - 1), measured


def batch_with_enough(batch: int, made: int, updates: Callable[[int], int], enough: int) -> tuple[int, int]:
    """Halve the batch until enough updates can be made, to a quarter at least.

    Args:
        batch: Patches per update.
        made: Updates of that batch.
        updates: Of a batch, measured.
        enough: Updates.

    Returns:
        Batch and its updates.
    """
    least = max(ceil(batch * LEAST_BATCH), 1)
    while made < enough and batch // 2 >= least:
        batch //= 2
        made = updates(batch)
    return batch, made


def reason_for(plans: Sequence[Plan], measured: Mapping[int, int], taken: Plan, updates: int, minutes: float) -> Reason:
    """Say what is taken for a budget of minutes, and what that gives up.

    Args:
        plans: On each grid, the finest first.
        measured: Updates by index; those of finer grids, which take longer, are expected from them.
        taken: One of `plans`, with its batch.
        updates: That it makes.
        minutes: Of the budget.
    """
    last = min(measured)
    work = [plan.batch * multiply_adds(plan.network, plan.network_patch) for plan in plans]
    k = next(k for k, plan in enumerate(plans) if plan.grid == taken.grid)
    expected = [str(measured.get(i, f"about {measured[last] * work[last] / work[i]:.0f}")) for i in range(k)]
    given_up = [f"{pixel_mm(plan):g} mm would get {count}" for plan, count in zip(plans, expected, strict=False)]
    gets = f"{pixel_mm(taken):g} mm gets {updates} updates of the narrowest network"
    if taken.batch < plans[k].batch:
        gets += f" in batches of {taken.batch} instead of {plans[k].batch}"
    return Reason(f"{pixel_mm(taken):g} mm pixels for {minutes:g} minutes", "; ".join([*given_up, gets]))


class _Clock:
    """Measures for how many updates of the narrowest network the time is enough."""

    def __init__(self, trainer: Trainer, plans: Sequence[Plan], job: TrainingJob) -> None:
        self.trainer, self.job = trainer.on_plan(plans[0]), job
        self.training, validation = training_and_validation(self.trainer, job)
        self.batch = self.training.make(0).to(job.device)
        self.patches = validation_patches(self.training, validation)
        self.cost = validation_cost(self.trainer, job)
        quick, batch = self._on(plans[-1])
        self.precision = fastest_precision(quick, width_options(quick, job)[0], batch, job.device)
        # Of the finest grid's batches: those of a coarser one are made no slower.
        self.around = time_around(self.trainer, self.training, self.precision, job.device)

    def _on(self, plan: Plan) -> tuple[Trainer, Batch]:
        trainer = self.trainer.on_plan(plan)
        trainer.fit_statistics(self.training.sampler)
        return trainer, self.batch.like(trainer.batch, trainer.patch)

    def updates(self, plan: Plan) -> int:
        """Return the updates with a plan; none where the memory does not hold one patch."""
        trainer, batch = self._on(plan)
        try:
            seconds = time_step(trainer, width_options(trainer, self.job)[0], self.precision, batch, self.job.device)
        except TooLargeError:
            return 0
        left = self.job.seconds_left() / trainer.trained_in_turn
        left -= self.cost.seconds(seconds.forward) + _preprocessing_seconds(plan, self.job)
        (left,) = distributed.of_the_main([left], self.job.device)
        validation = validation_seconds(self.patches, seconds.forward)
        return max(length_within(left, self.around.update(seconds.update), validation)[0], 0)


def _preprocessing_seconds(plan: Plan, job: TrainingJob) -> float:
    """Return the expected time of bringing the fold's cases onto the plan's grid, those that are there not counted."""
    if plan.pixel_mm is None:
        return 0.0
    folder = WorkFolder(job.work).preprocessed(plan.cases_name)
    missing = [case for case in _cases(job) if not CaseStore(folder, case.id).done(preprocessing_key(case, plan))]
    return len(missing) * SECONDS_TO_PREPROCESS / workers_for(0)


def _cases(job: TrainingJob) -> tuple[Case, ...]:
    """Return the files of the fold's cases.

    Raises:
        UserError: One is no longer there.
    """
    work = WorkFolder(job.work)
    sources, known = work.load_sources(), Fingerprint.load(work.fingerprint).cases
    cases = []
    for case in known:
        if case.id in set(job.fold.cases):
            source = sources[case.id]
            paths = (*map(Path, source.images), Path(source.mask))
            cases.append(
                Case(*(case.id, paths[:-1], paths[-1], case.patient, case.sequence, case.subset), source=case.source)
            )
            lost = next((path for path in paths if not path.exists()), None)
            if lost is not None:
                raise UserError(lost, "is missing", "put it back, or run autospine_plan on the data set's new place")
    return tuple(cases)
