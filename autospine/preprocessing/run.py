"""Brings every case onto each plan's grid and stores it, once, continuing where it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine import volumes
from autospine.core.errors import UserError
from autospine.core.files import remove_abandoned
from autospine.core.parallel import run_cases
from autospine.core.serial import to_plain
from autospine.dataset.cases import Case
from autospine.planning.plan import Plan
from autospine.preprocessing.grid import case_grid
from autospine.preprocessing.normalisation import normalise
from autospine.preprocessing.storage import CaseRecord, CaseStore, describe_labels

FORM = 3  # of what is stored; raise it when preprocessing changes


@dataclass(frozen=True)
class Job:
    """One case to be brought onto the grids of several plans.

    Attributes:
        case: Of the data set.
        plans: Configurations.
        folder: work/preprocessed.
    """

    case: Case
    plans: tuple[Plan, ...]
    folder: Path


def case_folder(work: str | Path, plan_name: str) -> Path:
    """Where a configuration's cases lie."""
    return Path(work) / "preprocessed" / plan_name


def preprocessing_key(case: Case, plan: Plan) -> str:
    """Changes with the case's files and with every rule that shapes the stored arrays."""
    files = [path for path in (*case.images, case.mask) if path is not None]
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    rules = [to_plain(plan.grid), to_plain(plan.normalisation), plan.view_axis, plan.scheme.ignore_label, FORM]
    text = json.dumps([stamps, rules, [case.patient, case.sequence]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_channels(images: Sequence[Path]) -> tuple[np.ndarray, volumes.Volume]:
    """All channels of a case.

    Returns:
        `(channels, slices, rows, columns)` float32 and the first channel's volume.

    Raises:
        UserError: The channels lie on different grids.
    """
    first = volumes.read_image(images[0])
    arrays = [first.array]
    for path in images[1:]:
        other = volumes.read_image(path)
        difference = first.geometry.difference(other.geometry)
        if difference:
            raise UserError(path, f"lies on another grid than {images[0].name} ({difference})", "resample it")
        arrays.append(other.array)
    return np.stack(arrays) if len(arrays) > 1 else arrays[0][None], first


def preprocess_image(image: np.ndarray, spacing: tuple[float, float, float], plan: Plan) -> np.ndarray:
    """Resamples, normalises and, where the plan says so, interpolates slices of an image.

    Args:
        image: `(channels, slices, rows, columns)` float32.
        spacing: Its mm along (slices, rows, columns).
        plan: Rules.

    Returns:
        `(channels, slices, rows, columns)` float32 on the plan's grid.
    """
    grid = case_grid(plan.grid, image.shape[1:], spacing)
    moved = grid.resample(image)
    for channel in moved:
        normalise(channel, plan.normalisation)
    return grid.interpolate(moved)


def preprocess_case(job: Job) -> str:
    """Reads one case and stores it for every plan that lacks it. Gives its id."""
    case = job.case
    wanted = []
    for plan in job.plans:
        store = CaseStore(job.folder / plan.name, case.id)
        key = preprocessing_key(case, plan)
        if not store.done(key):
            wanted.append((plan, store, key))
    if not wanted:
        return case.id
    image, volume = read_channels(case.images)
    if case.mask is None:
        raise UserError(case.id, "has no mask", "preprocess cases with masks only")
    mask = volumes.read_mask(case.mask).array
    for plan, store, key in wanted:
        _store(case, plan, store, key, image, mask, volume.spacing)
    return case.id


def _store(
    case: Case,
    plan: Plan,
    store: CaseStore,
    key: str,
    image: np.ndarray,
    mask: np.ndarray,
    spacing: tuple[float, float, float],
) -> None:
    grid = case_grid(plan.grid, mask.shape, spacing)
    labels = grid.resample_mask(mask, plan.scheme.ignore_label)
    record = CaseRecord(
        id=case.id,
        patient=case.patient,
        sequence=case.sequence,
        shape=grid.shape,
        spacing=grid.spacing,
        labels=describe_labels(labels),
        slices=None,
        key=key,
        slice_grid=grid.slices,
    )
    store.write(preprocess_image(image, spacing, plan), labels, record, plan.view_axis)


def preprocess(cases: Sequence[Case], plans: Sequence[Plan], work: str | Path, workers: int) -> None:
    """Preprocesses all cases for all plans, with a progress bar.

    Raises:
        UserError: One or more cases failed; the others are done. The line names them.
    """
    folder = Path(work) / "preprocessed"
    for plan in plans:
        remove_abandoned(folder / plan.name)
    jobs = [Job(case, tuple(plans), folder) for case in cases]
    run_cases(preprocess_case, jobs, [job.case.id for job in jobs], "preprocess", workers)
