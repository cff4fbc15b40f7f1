"""Planning as one call: verify, fingerprint, plan, split, preprocess."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.files import check_writable, remove
from autospine.core.machine import Machine, find_machine, workers_for
from autospine.core.overwriting import check_files, check_folders
from autospine.core.workspace import SourceCase, WorkFolder
from autospine.dataset.cases import Case, Dataset, listed
from autospine.dataset.joining import load_datasets
from autospine.dataset.metadata import TRAINING
from autospine.fingerprint.fingerprint import Fingerprint, make_fingerprint
from autospine.planning.plan import Plan, Plans
from autospine.planning.planner import Planner
from autospine.planning.splits import Splits, make_splits, read_splits
from autospine.planning.start import StartingModel, starting_model
from autospine.preprocessing.grid import FINEST_SLICES_MM, SliceInterpolation
from autospine.preprocessing.run import preprocess, preprocessing_key
from autospine.preprocessing.storage import CaseStore
from autospine.reconstruction.images import Method

log = logging.getLogger(__name__)

PIXELS_MM = (0.1, 10.0)  # of --pixel-spacing


@dataclass(frozen=True)
class PlanRequest:
    """What autospine_plan is asked.

    Attributes:
        dataset: Folder with images/ and masks/, or several that are trained on together.
        work: Folder that gets everything that is made.
        plans: Names of planners.
        labels: Label scheme of the masks: a name or a file; of one of several data sets NAME=SCHEME. Else it is found
            out.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        memory_gib: That training may use; None takes 60 % of what there is.
        minutes: Of a training whose length is estimated.
        folds: By patient; fewer if there are fewer patients.
        splits: The user's own folds (JSON).
        slice_spacing: mm between slices of slice_reconstruction; None is 1.
        slice_method: How slice_reconstruction interpolates slices; None is linear.
        pixel_spacing: mm in-plane; None follows the data.
        init_from: The model whose weights a training will start from: "none", "box", an installed model's name or a
            folder; None takes what trainings start from by themselves.
        workers: Processes at once; 0 is one per core.
        dry_run: Decide, and write nothing.
    """

    dataset: Path | tuple[Path, ...]
    work: Path
    plans: tuple[str, ...] = ("2d_sagittal",)
    labels: str | tuple[str, ...] | None = None
    device: str = "auto"
    memory_gib: float | None = None
    minutes: float | None = None
    folds: int = 5
    splits: Path | None = None
    slice_spacing: float | None = None
    slice_method: Method | None = None
    pixel_spacing: float | None = None
    init_from: str | None = None
    workers: int = 0
    dry_run: bool = False

    @property
    def datasets(self) -> tuple[Path, ...]:
        """Return the folders of the data sets."""
        return self.dataset if isinstance(self.dataset, tuple) else (self.dataset,)

    @property
    def schemes(self) -> tuple[str, ...]:
        """Return what --labels says."""
        return (self.labels,) if isinstance(self.labels, str) else self.labels or ()


@dataclass(frozen=True)
class PlanResult:
    """What was decided."""

    request: PlanRequest  # what was asked
    # fingerprint, plans, splits: what came of it.
    fingerprint: Fingerprint
    plans: tuple[Plan, ...]
    splits: Splits
    machine: Machine  # planned for
    to_preprocess: int  # cases that lack a stored array for at least one plan
    seconds_per_case: float  # of reading and measuring one case, as measured


def make_plans(request: PlanRequest) -> PlanResult:
    """Verify a data set, plan, split and preprocess it.

    Raises:
        UserError: The data set, an option or the machine does not allow it. Nothing half-written is left.
    """
    planners: list[type[Planner]] = [registry.load("planners", name) for name in request.plans]
    interpolations = _slice_interpolations(request, planners)
    start = starting_model(request.init_from)
    machine, workers = find_machine(request.device, request.memory_gib), workers_for(request.workers)
    _check_numbers(request)
    dataset = load_datasets(request.datasets, request.schemes)
    _check_patients(request, dataset.annotated)
    work = WorkFolder(request.work)
    others = _other_plans(work, request.plans)
    if not request.dry_run:
        _check_apart(request, work, dataset)
        check_writable(work.root)
    started = time.monotonic()
    cache = None if request.dry_run else work.cache
    fingerprint = make_fingerprint(dataset, workers, None, cache)
    seconds = (time.monotonic() - started) / max(len(fingerprint.cases), 1)
    plans = tuple(
        _plan(planner(fingerprint, machine), slice_interpolation, request.pixel_spacing, start)
        for planner, slice_interpolation in zip(planners, interpolations, strict=True)
    )
    if request.splits:
        splits = replace(read_splits(request.splits, fingerprint.cases), user_defined=True)
    else:
        splits = make_splits(fingerprint.cases, request.folds)
    used = {i for fold in splits.folds for i in fold.cases}
    cases = tuple(case for case in dataset.annotated if case.id in used)
    outcome = PlanResult(request, fingerprint, plans, splits, machine, _missing(cases, plans, work), seconds)
    if not request.dry_run:
        _write(outcome, work, _still_true(others, work, fingerprint), dataset.annotated)
        preprocess(cases, plans, work.root, workers)
    return outcome


def _check_apart(request: PlanRequest, work: WorkFolder, dataset: Dataset) -> None:
    """Check that the work folder's files replace nothing that is read; its own splits may be given back."""
    scans = [path for case in dataset.cases for path in (*case.images, case.mask) if path is not None]
    check_folders((work.root, work.cache, *(work.preprocessed(plan) for plan in request.plans)), scans)
    files = [request.splits, *(Path(name.rpartition("=")[2]) for name in request.schemes)]
    named = [path for path in files if path and path != work.splits]
    tables = [root / name for root in request.datasets for name in ("dataset.json", "overview.csv", "patients.csv")]
    check_files((work.fingerprint, work.plans, work.splits, work.sources), (*scans, *tables, *named))


def _check_numbers(request: PlanRequest) -> None:
    if request.folds < 2:
        raise UserError("--folds", f"is {request.folds}", "ask for at least 2, or train with --fold all")
    if request.minutes is not None and not 0 < request.minutes < inf:
        raise UserError("--minutes", f"is {request.minutes:g}", "give a positive number")
    low, high = PIXELS_MM
    if request.pixel_spacing is not None and not low <= request.pixel_spacing <= high:
        hint = f"give a pixel's side of {low:g} to {high:g} mm"
        raise UserError("--pixel-spacing", f"is {request.pixel_spacing:g}", hint)


def _slice_interpolations(request: PlanRequest, planners: list[type[Planner]]) -> list[SliceInterpolation | None]:
    """Choose how each plan interpolates slices: as its planner does, but for the options.

    Raises:
        UserError: An option is out of its range, or none of the plans interpolates slices.
    """
    asked = {"--slice-spacing": request.slice_spacing, "--slice-method": request.slice_method}
    given = [option for option, value in asked.items() if value is not None]
    if given and not any(planner.slice_interpolation for planner in planners):
        problem = f"is for plans that interpolate slices, not for {', '.join(request.plans)}"
        raise UserError(given[0], problem, "add --plans slice_reconstruction, or leave it out")
    interpolations: list[SliceInterpolation | None] = []
    for usual in (planner.slice_interpolation for planner in planners):
        if usual is None:
            interpolations.append(None)
            continue
        spacing = usual.spacing_mm if request.slice_spacing is None else request.slice_spacing
        try:
            interpolations.append(SliceInterpolation(spacing, request.slice_method or usual.method))
        except ValueError as error:
            hint = f"give a distance of {FINEST_SLICES_MM:g} mm or more"
            raise UserError("--slice-spacing", f"is {spacing:g}", hint) from error
    return interpolations


def _plan(
    planner: Planner,
    slice_interpolation: SliceInterpolation | None,
    pixel_spacing: float | None,
    start: StartingModel | None,
) -> Plan:
    planner.slice_interpolation, planner.pixel_spacing, planner.start = slice_interpolation, pixel_spacing, start
    return planner.plan()


def _check_patients(request: PlanRequest, cases: tuple[Case, ...]) -> None:
    """Refuse a data set of one patient before every file is read: folds need two.

    Raises:
        UserError: All scans to train on are of one patient, and no --splits says what to do.
    """
    training = [case for case in cases if case.subset == TRAINING]
    if request.splits or len({case.patient for case in training}) != 1:
        return
    problem = f"holds annotated scans of one patient only ({listed([case.id for case in training])})"
    hint = "add scans of a second patient"
    if len(training) > 1:
        hint += ", correct patients.csv, or name your own folds with --splits FILE"
    raise UserError(listed([str(path) for path in request.datasets]), problem, hint)


def _other_plans(work: WorkFolder, names: tuple[str, ...]) -> tuple[Plan, ...]:
    """Read the work folder's plans of other names, which stay.

    Raises:
        UserError: The file is of another version or damaged.
    """
    if not work.plans.exists():
        return ()
    return tuple(plan for plan in Plans.load(work.plans).plans if plan.name not in names)


def _missing(cases: tuple[Case, ...], plans: tuple[Plan, ...], work: WorkFolder) -> int:
    return sum(
        any(
            not CaseStore(work.preprocessed(plan.cases_name), case.id).done(preprocessing_key(case, plan))
            for plan in plans
        )
        for case in cases
    )


def _still_true(others: tuple[Plan, ...], work: WorkFolder, fingerprint: Fingerprint) -> tuple[Plan, ...]:
    """Return earlier plans of other names, if the data are still those that they were made for."""
    if not others or (work.fingerprint.exists() and Fingerprint.load(work.fingerprint) == fingerprint):
        return others
    names = ", ".join(plan.name for plan in others)
    log.warning("%s: the data have changed, so the earlier plans are dropped (%s)", work.plans, names)
    remove(work.plans)  # at once: a run that is killed now must not find them beside the new fingerprint
    return ()


def _write(outcome: PlanResult, work: WorkFolder, others: tuple[Plan, ...], cases: tuple[Case, ...]) -> None:
    outcome.fingerprint.save(work.fingerprint)
    outcome.splits.save(work.splits)
    masked = [(case, case.mask) for case in cases if case.mask is not None]
    sources = tuple(SourceCase.of(case.id, case.images, mask, case.source) for case, mask in masked)
    work.save_sources(outcome.request.datasets, sources)
    Plans((*others, *outcome.plans)).save(work.plans)
