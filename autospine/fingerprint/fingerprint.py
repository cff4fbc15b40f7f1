"""The fingerprint of a data set: what planning needs to know of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.machine import workers_for
from autospine.core.parallel import run_cases
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.dataset.cases import Case, Dataset
from autospine.dataset.metadata import TRAINING
from autospine.dataset.verify import case_problems, identity_problems, raise_together
from autospine.fingerprint.case import CaseFingerprint, fingerprint_case
from autospine.fingerprint.consistency import annotation_problems
from autospine.fingerprint.joining import (
    MeasuredCases,
    in_scheme,
    joint_problems,
    one_patient_per_image,
    scheme_of_sources,
    shared_images,
)
from autospine.fingerprint.label_order import OrderedLabels, find_ordered_labels
from autospine.fingerprint.slice_filter import SEMANTIC4, ClassWeights, combined
from autospine.fingerprint.warnings import dataset_warnings, nothing_annotated
from autospine.labels.conversion import infer_scheme, missing_classes
from autospine.labels.joint import SourceLabels
from autospine.labels.outliers import outlying_labels
from autospine.labels.schemes import LabelScheme
from autospine.volumes.stamps import stamps

log = logging.getLogger(__name__)

VERSION = 3  # 3: source, sources
MEASURED = 3  # raised when more is measured, so that cases in the cache are measured again

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Fingerprint:
    """Statistics of a data set. The properties are over training cases; validation ones stay unseen."""

    version: int  # of the file format
    scheme: LabelScheme  # what the masks' integers mean
    channels: tuple[str, ...]  # names of the channels
    cases: tuple[CaseFingerprint, ...]  # every case with a mask, validation ones included
    ordered_labels: tuple[OrderedLabels, ...]  # labels that follow one another along the spine
    warnings: tuple[str, ...]  # what the user should know, one line each
    sources: tuple[SourceLabels, ...] = ()  # of which data sets it is, where several are joined

    @property
    def training(self) -> tuple[CaseFingerprint, ...]:
        """Return the cases that may be trained on."""
        return tuple(case for case in self.cases if case.subset == TRAINING)

    @property
    def median_spacing(self) -> Spacing:
        """Return the median per canonical axis, in mm."""
        median = np.median([case.spacing for case in self.training], axis=0)
        return float(median[0]), float(median[1]), float(median[2])

    @property
    def median_shape(self) -> tuple[int, int, int]:
        """Return the median voxels along each canonical axis, rounded."""
        median = np.median([case.shape for case in self.training], axis=0)
        return round(median[0]), round(median[1]), round(median[2])

    @property
    def class_weights(self) -> dict[str, ClassWeights]:
        """Return what the slice filter would do to each sequence; empty without vertebrae, discs and canal."""
        if len(missing_classes(self.scheme, SEMANTIC4)) == len(SEMANTIC4.anatomies):
            return {}
        weights: dict[str, list[ClassWeights]] = {}
        for case in self.training:
            if case.class_weights is not None:
                weights.setdefault(case.sequence, []).append(case.class_weights)
        return {sequence: combined(weights[sequence]) for sequence in sorted(weights)}

    @property
    def mask_schemes(self) -> dict[str, LabelScheme]:
        """Return the scheme of the masks by the name of their source, "" for one data set alone."""
        return {"": self.scheme} | {source.name: source.scheme for source in self.sources}

    @property
    def sequences(self) -> dict[str, int]:
        """Count the cases of each sequence."""
        return dict(sorted(Counter(case.sequence for case in self.training).items()))

    @property
    def patients(self) -> tuple[str, ...]:
        """Return every patient once, in order of their cases."""
        return tuple(dict.fromkeys(case.patient for case in self.training))

    def save(self, path: str | Path) -> None:
        """Write JSON atomically."""
        write_json(path, to_plain(self))

    @classmethod
    def load(cls, path: str | Path) -> Fingerprint:
        """Read what `save` wrote.

        Raises:
            UserError: The file is missing, of another version, or not what `save` wrote.
        """
        data = read_json(path, "run autospine_plan again")
        check_version(data, VERSION, path, "run autospine_plan again")
        return from_plain(cls, data, str(path))


def make_fingerprint(
    dataset: Dataset, workers: int = 1, scheme: LabelScheme | None = None, cache: str | Path | None = None
) -> Fingerprint:
    """Read, verify and measure every case that has a mask.

    Args:
        dataset: The data set, or several that are joined.
        workers: Processes at once; 0: one per core. More than one needs a `__main__` guard in scripts.
        scheme: What the masks' integers mean; None: what dataset.json says, else a guess.
        cache: A folder that keeps each case's figures, so that an interrupted run continues and
            unchanged files are not read again.

    Raises:
        UserError: Something is wrong with the data. All cases are checked first; with several
            problems the line names the first and the log lists all.
    """
    if dataset.sources:
        return joined([measure_cases(source, workers, cache) for source in dataset.sources], dataset.channels)
    measured = measure_cases(replace(dataset, scheme=scheme or dataset.scheme), workers, cache)
    training = measured.training
    raise_together(annotation_problems(training, measured.scheme))
    ordered_labels = find_ordered_labels(training, measured.scheme)
    warnings = (*measured.warnings, *dataset_warnings(training, ordered_labels, measured.scheme))
    for line in warnings:
        log.debug("%s: %s", dataset.root, line)  # the planning report says them
    return Fingerprint(VERSION, measured.scheme, dataset.channels, measured.cases, ordered_labels, warnings)


def joined(sources: Sequence[MeasuredCases], channels: tuple[str, ...]) -> Fingerprint:
    """Join the cases of several data sets, with the labels of one scheme.

    Raises:
        UserError: Masks contradict their scheme or one another, or annotate nothing usable.
    """
    raise_together(joint_problems(sources))
    labels = tuple(SourceLabels(source.dataset.name, source.scheme, source.annotates) for source in sources)
    scheme = scheme_of_sources(labels)
    cases = one_patient_per_image([case for source in sources for case in in_scheme(source, scheme)])
    raise_together(identity_problems(cases))
    training = [case for case in cases if case.subset == TRAINING]
    ordered_labels = find_ordered_labels(training, scheme)
    warnings = []
    for source in sources:
        own = dataset_warnings(source.training, find_ordered_labels(source.training, source.scheme), source.scheme)
        warnings += [f"{source.dataset.name}: {line}" for line in (*source.warnings, *own)]
    warnings += shared_images(cases)
    return Fingerprint(VERSION, scheme, channels, tuple(cases), ordered_labels, tuple(warnings), labels)


def measure_cases(dataset: Dataset, workers: int, cache: str | Path | None) -> MeasuredCases:
    """Read, verify and measure the cases of one data set that have a mask; leave out those of empty masks.

    Raises:
        UserError: Something is wrong with the files.
    """
    cases, scheme = dataset.annotated, dataset.scheme
    raise_together(identity_problems(cases))
    if not any(case.subset == TRAINING for case in cases):
        raise UserError(dataset.root, "has no training case with a mask", "check subset in overview.csv")
    examine = _CaseJob(scheme, Path(cache) if cache is not None else None)
    names, traces = [case.id for case in cases], Path(cache).parent if cache is not None else None
    measured = run_cases(examine, cases, names, "fingerprint", workers_for(workers), traces)
    warnings: tuple[str, ...] = ()
    if scheme is None:
        warnings = outlying_labels(_voxels(cases, measured), "name the labels with --labels or dataset.json")
        scheme = infer_scheme({value for case in measured for value in case.voxels})
    empty = [case.id for case in measured if not case.centroids]
    if empty and not dataset.empty_masks and len(empty) < len(measured):
        measured = [case for case in measured if case.centroids]
        warnings += (nothing_annotated(empty),)
        log.warning("%s: %s", dataset.root, warnings[-1])
    return MeasuredCases(dataset, scheme, tuple(measured), warnings)


def _voxels(cases: Sequence[Case], measured: Sequence[CaseFingerprint]) -> dict[str, dict[int, int]]:
    return {str(case.mask): statistics.voxels for case, statistics in zip(cases, measured, strict=True)}


@dataclass(frozen=True)
class _CaseJob:
    """A job that can be pickled: fingerprint one case, from the cache if its files are unchanged."""

    scheme: LabelScheme | None
    cache: Path | None

    def __call__(self, case: Case) -> CaseFingerprint:
        measured = self._cached(case)
        if measured is None:
            measured = fingerprint_case(case, self.scheme)
            if self.cache is not None:
                content = {"key": self._key(case), "case": to_plain(measured)}
                write_json(self.cache / f"{case.id}.json", content)
        raise_together(case_problems(case, measured.voxels, self.scheme))
        return measured

    def _key(self, case: Case) -> dict[str, Any]:
        paths = [*case.images, *([case.mask] if case.mask is not None else [])]
        return {
            "version": [VERSION, MEASURED],
            "scheme": self.scheme.to_dict() if self.scheme else None,
            "files": [list(stamp) for path in paths for stamp in stamps(path)],
        }

    def _cached(self, case: Case) -> CaseFingerprint | None:
        if self.cache is None:
            return None
        path = self.cache / f"{case.id}.json"
        try:
            data = read_json(path) if path.exists() else None
            if not isinstance(data, Mapping) or data.get("key") != self._key(case):
                return None
            measured = from_plain(CaseFingerprint, data["case"], str(path))
        except (UserError, KeyError):
            return None  # a damaged or outdated entry is made again
        names = ("id", "patient", "sequence", "subset", "vendor", "source")
        return replace(measured, **{name: getattr(case, name) for name in names})
