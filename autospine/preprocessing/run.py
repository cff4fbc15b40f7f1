"""Bring every case onto each plan's grid and store it, once, continuing where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from autospine import volumes
from autospine.core.errors import UserError
from autospine.core.locks import locked
from autospine.core.parallel import run_cases
from autospine.core.serial import to_plain
from autospine.dataset.cases import Case
from autospine.labels.conversion import conversion
from autospine.labels.encoding import Encoding
from autospine.labels.joint import SourceLabels
from autospine.labels.schemes import LabelScheme
from autospine.preprocessing.centres import with_body_centres
from autospine.preprocessing.grid import Grid, case_grid
from autospine.preprocessing.normalisation import Normalisation, normalise
from autospine.preprocessing.storage import CaseRecord, CaseStore, describe_labels
from autospine.preprocessing.transforms.base import (
    AnyTransform,
    CaseData,
    TransformSettings,
    apply_transforms,
    make_transforms,
    transforms_hash,
)
from autospine.preprocessing.transforms.log import (
    SummarisedTransform,
    read_case_tables,
    write_case_table,
    write_table,
)
from autospine.volumes.stamps import stamps

log = logging.getLogger(__name__)
FORM = 4  # of what is stored; raise it when preprocessing changes


class PreprocessingPlan(Protocol):
    """What preprocessing reads of a plan."""

    @property
    def cases_name(self) -> str:
        """Return the name of the folder of its cases."""

    @property
    def view_axis(self) -> int | None:
        """Return the axis of 2-D slices; None for volumes."""

    @property
    def grid(self) -> Grid:
        """Return the spacing rules."""

    @property
    def normalisation(self) -> Normalisation:
        """Return the intensity rule."""

    @property
    def scheme(self) -> LabelScheme:
        """Return the data set's labels."""

    @property
    def encoding(self) -> Encoding:
        """Return what the network learns of them."""

    @property
    def sources(self) -> tuple[SourceLabels, ...]:
        """Return the data sets, where several are planned together."""

    def mask_scheme(self, source: str) -> LabelScheme:
        """Return the scheme of the masks of a source; of the data set where it is one alone."""


@dataclass(frozen=True)
class PreprocessingJob:
    """One case, the plans whose grids it is brought onto, and the folder work/preprocessed."""

    case: Case
    plans: tuple[PreprocessingPlan, ...]
    folder: Path


def preprocess(cases: Sequence[Case], plans: Sequence[PreprocessingPlan], work: str | Path, workers: int) -> None:
    """Preprocess all cases for all plans, with a progress bar, after another process that does so has ended.

    Raises:
        UserError: One or more cases failed; the others are done. The line names them.
    """
    folder = Path(work) / "preprocessed"
    jobs = [PreprocessingJob(case, tuple(plans), folder) for case in cases]
    with ExitStack() as locks:
        for name in sorted({plan.cases_name for plan in plans}):  # in one order, so that no two wait for each other
            locks.enter_context(locked(folder / name, "preprocesses cases", wait=True))
        run_cases(preprocess_case, jobs, [case.id for case in cases], "preprocess", workers, Path(work))


def preprocess_case(job: PreprocessingJob) -> None:
    """Read one case and store it for every plan that lacks it.

    Raises:
        UserError: A file is unreadable, there is no mask, or the disk is full.
    """
    case = job.case
    keys = [
        (plan, CaseStore(job.folder / plan.cases_name, case.id), preprocessing_key(case, plan)) for plan in job.plans
    ]
    missing = [(plan, store, key) for plan, store, key in keys if not store.done(key)]
    if not missing:
        return
    image, volume = read_channels(case.images)
    if case.mask is None:
        raise UserError(case.id, "has no mask", "preprocess cases with masks only")
    mask = read_annotation(case.mask, case.source, job.plans[0]).array
    for plan, store, key in missing:
        grid = case_grid(plan.grid, mask.shape, volume.spacing)
        labels = grid.resample_mask(mask, plan.scheme.ignore_label)
        records = describe_labels(labels)
        record = CaseRecord(
            id=case.id,
            patient=case.patient,
            sequence=case.sequence,
            shape=grid.shape,
            spacing=grid.spacing,
            labels=with_body_centres(records, labels, grid.spacing, plan.encoding, plan.scheme),
            slices=None,
            key=key,
            slice_grid=grid.slices,
            source=case.source,
        )
        store.write(preprocess_image(image, volume.spacing, plan), labels, record, plan.view_axis)


def preprocessing_key(case: Case, plan: PreprocessingPlan) -> str:
    """Return a hash that changes with the case's files and with every rule that shapes the stored arrays."""
    files = [stamps(path) for path in (*case.images, case.mask) if path is not None]
    rules = [to_plain(plan.grid), to_plain(plan.normalisation), plan.view_axis, plan.scheme.ignore_label, FORM]
    if case.source:
        schemes = plan.mask_scheme(case.source).to_dict(), plan.scheme.to_dict()
        rules += [case.source, *schemes, to_plain(plan.encoding.merged)]
    return _hash([files, rules, [case.patient, case.sequence]])


def read_annotation(path: str | Path, source: str, plan: PreprocessingPlan) -> volumes.Volume:
    """Read a mask of the data set, or of one of its sources, in the plan's scheme.

    Raises:
        UserError: The file is unreadable, or holds a label that its scheme lacks.
    """
    scheme = plan.mask_scheme(source)
    volume = volumes.read_mask(path, scheme.negative)
    if scheme == plan.scheme:
        return volume
    return replace(volume, array=conversion(scheme, plan.scheme).apply(volume.array, path), negative=None)


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_channels(images: Sequence[Path]) -> tuple[np.ndarray, volumes.Volume]:
    """Read all channels of a case.

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


def preprocess_image(image: np.ndarray, spacing: tuple[float, float, float], plan: PreprocessingPlan) -> np.ndarray:
    """Resample and normalise an image, and interpolate slices where the plan says so.

    `image` is `(channels, slices, rows, columns)` float32, `spacing` mm along the last three axes.
    """
    grid = case_grid(plan.grid, image.shape[1:], spacing)
    resampled = grid.resample(image)
    for channel in resampled:
        normalise(channel, plan.normalisation)
    return grid.interpolate(resampled)


def transform_cases(
    plan: PreprocessingPlan, settings: Sequence[TransformSettings], cases: Path, ids: Sequence[str]
) -> Path:
    """Apply a recipe's transforms to those cases that lack them, and return the folder of the results.

    Raises:
        UserError: A transform cannot work on a case, or leaves nothing of these cases to train on.
    """
    if not settings:
        return cases
    folder, transforms = cases / transforms_hash(settings), make_transforms(settings)
    rules = _hash([[setting.name for setting in settings], plan.scheme.to_dict(), plan.encoding.values])
    waiting = _not_transformed(cases, folder, ids, rules)
    with locked(folder, "preprocesses cases", wait=True) if waiting else nullcontext():
        waiting = waiting and _not_transformed(cases, folder, ids, rules)  # less, if another process has made some
        for id_ in waiting:
            _transform_case(plan, transforms, rules, CaseStore(cases, id_), CaseStore(folder, id_))
        for setting, transform in zip(settings, transforms, strict=True):
            if isinstance(transform, SummarisedTransform):
                _summarise(setting.name, transform, folder, ids, bool(waiting))
    return folder


def _key(source: CaseStore, rules: str) -> str:
    """Return the key of a transformed case: of what it is made from, and of the recipe's rules."""
    return f"{source.record.key}-{rules}"


def _not_transformed(cases: Path, folder: Path, ids: Sequence[str], rules: str) -> list[str]:
    """Return the cases that the folder of transformed ones lacks, or holds from other sources or rules."""
    return [id_ for id_ in ids if not CaseStore(folder, id_).done(_key(CaseStore(cases, id_), rules))]


def _transform_case(
    plan: PreprocessingPlan, transforms: Sequence[AnyTransform], rules: str, source: CaseStore, target: CaseStore
) -> None:
    """Transform and store one case."""
    before = CaseData(
        np.asarray(source.image[:], dtype=np.float32),
        np.asarray(source.mask[:]),
        source.record.spacing,
        source.record.slices,
        plan.view_axis,
        source.record.slice_grid,
        plan.scheme,
        plan.encoding.values,
        id=source.id,
    )
    case, _ = apply_transforms(transforms, before)
    mask = case.mask if case.mask is not None else np.zeros(case.shape, np.uint8)
    records = describe_labels(mask)
    if plan.encoding.partial:  # then no transform changes the labels
        records = with_body_centres(records, mask, case.spacing, plan.encoding, plan.scheme)
    record = replace(
        source.record,
        shape=case.shape,
        spacing=case.spacing,
        labels=records,
        slices=case.slices,
        key=_key(source, rules),
        slice_grid=case.slice_grid if case.shape[0] == source.record.shape[0] else None,
    )
    for table in case.tables:
        write_case_table(target.folder, (record.id, record.patient, record.sequence), table)
    target.write(case.image, mask, record, plan.view_axis)


def _summarise(name: str, transform: SummarisedTransform, folder: Path, ids: Sequence[str], changed: bool) -> None:
    """Write a transform's table of all cases, log its summary, and refuse what leaves nothing to train on."""
    summary = transform.summary(read_case_tables(folder, ids, name))
    if changed:
        write_table(folder, name)
        for line in summary.lines:
            log.info("%s", line)
    if summary.problem:
        raise UserError(f"transform {name}", f"{summary.problem} ({folder / name}.csv lists why)", summary.hint)
