"""The fingerprint of a data set: what planning needs to know about it."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.parallel import run_cases
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.dataset import verify
from autospine.dataset.cases import Case, Dataset
from autospine.dataset.metadata import TRAINING
from autospine.fingerprint.case import CaseFingerprint, fingerprint_case
from autospine.fingerprint.consistency import annotation_problems
from autospine.fingerprint.label_order import OrderedLabels, find_ordered_labels
from autospine.fingerprint.slice_filter import SEMANTIC4, ClassWeights, combined
from autospine.fingerprint.warnings import dataset_warnings
from autospine.labels.conversion import infer_scheme, missing_classes
from autospine.labels.schemes import LabelScheme

log = logging.getLogger(__name__)

VERSION = 2  # 2: ordered_labels
MEASURED = 2  # raised when more is measured: cached figures of before are made again
PERCENTILES = (0, 10, 25, 50, 75, 90, 100)

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Fingerprint:
    """Figures of a data set. The properties are over training cases; validation ones stay unseen.

    Attributes:
        version: Of the file format.
        scheme: What the masks' integers mean.
        channels: Names of the channels.
        cases: Every case with a mask, validation ones included.
        chains: Labels that form an order along the spine.
        warnings: What the user should know, one line each.
    """

    version: int
    scheme: LabelScheme
    channels: tuple[str, ...]
    cases: tuple[CaseFingerprint, ...]
    ordered_labels: tuple[OrderedLabels, ...]
    warnings: tuple[str, ...]

    @property
    def training(self) -> tuple[CaseFingerprint, ...]:
        """The cases that may be trained on."""
        return tuple(case for case in self.cases if case.subset == TRAINING)

    @property
    def median_spacing(self) -> Spacing:
        """Median per canonical axis, in mm."""
        return self.spacing_percentiles[50]

    @property
    def spacing_percentiles(self) -> dict[int, Spacing]:
        """Percentile (0, 10, 25, 50, 75, 90, 100) to spacing per canonical axis, in mm."""
        table = np.percentile([case.spacing for case in self.training], PERCENTILES, axis=0)
        return {
            percentile: (float(row[0]), float(row[1]), float(row[2]))
            for percentile, row in zip(PERCENTILES, table, strict=True)
        }

    @property
    def median_shape(self) -> tuple[int, int, int]:
        """Median voxels along each canonical axis, rounded."""
        middle = np.median([case.shape for case in self.training], axis=0)
        return round(middle[0]), round(middle[1]), round(middle[2])

    @property
    def class_frequencies(self) -> dict[int, float]:
        """Share of the annotated voxels per label, background included; they sum to 1."""
        counts: Counter[int] = Counter()
        for case in self.training:
            counts.update(case.voxels)
        if self.scheme.ignore_label is not None:
            counts.pop(self.scheme.ignore_label, None)
        total = sum(counts.values())
        return {label: count / total for label, count in sorted(counts.items())} if total else {}

    @property
    def class_weight_ratio(self) -> float:
        """Largest class frequency over the smallest, background included; 1 for a single class."""
        shares = [share for share in self.class_frequencies.values() if share > 0]
        return max(shares) / min(shares) if shares else 1.0

    @property
    def class_weights(self) -> dict[str, ClassWeights]:
        """What the slice filter would do to each sequence; empty where the labels have no vertebra, disc or canal."""
        if len(missing_classes(self.scheme, SEMANTIC4)) == len(SEMANTIC4.anatomies):
            return {}
        parts: dict[str, list[ClassWeights]] = {}
        for case in self.training:
            if case.class_weights is not None:
                parts.setdefault(case.sequence, []).append(case.class_weights)
        return {sequence: combined(parts[sequence]) for sequence in sorted(parts)}

    @property
    def sequences(self) -> dict[str, int]:
        """Cases of each sequence."""
        return dict(sorted(Counter(case.sequence for case in self.training).items()))

    @property
    def vendors(self) -> dict[str, int]:
        """Cases of each vendor, where it is known."""
        return dict(sorted(Counter(case.vendor for case in self.training if case.vendor).items()))

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, in order of their cases."""
        return tuple(dict.fromkeys(case.patient for case in self.training))

    def save(self, path: str | Path) -> None:
        """Writes JSON, atomically."""
        write_json(path, to_plain(self))

    @classmethod
    def load(cls, path: str | Path) -> Fingerprint:
        """Reads what `save` wrote.

        Raises:
            UserError: The file is missing, of a newer version, or not what `save` wrote.
        """
        data = read_json(path, "run autospine_plan again")
        check_version(data, VERSION, path, "run autospine_plan again")
        return from_plain(cls, data, str(path))


def make_fingerprint(
    dataset: Dataset, workers: int = 1, scheme: LabelScheme | None = None, cache: str | Path | None = None
) -> Fingerprint:
    """Reads, verifies and measures every case that has a mask.

    Args:
        dataset: The data set.
        workers: Processes at once; 0: one per core. More than one needs a `__main__` guard in scripts.
        scheme: What the masks' integers mean; None: what dataset.json says, else a guess.
        cache: A folder that keeps each case's figures, so that an interrupted run continues and
            unchanged files are not read again.

    Raises:
        UserError: Something is wrong with the data. All cases are checked first; with several
            problems the line names the first and the log lists all.
    """
    cases = dataset.annotated
    verify.raise_together(verify.identity_problems(cases))
    if not any(case.subset == TRAINING for case in cases):
        raise UserError(dataset.root, "has no training case with a mask", "check subset in overview.csv")
    scheme = scheme or dataset.scheme
    examine = _Examination(scheme, Path(cache) if cache is not None else None)
    found = run_cases(examine, cases, [case.id for case in cases], "fingerprint", workers or _cores())
    training = [case for case in found if case.subset == TRAINING]
    scheme = scheme or infer_scheme({value for case in found for value in case.voxels})
    verify.raise_together(annotation_problems(training, scheme))
    ordered_labels = find_ordered_labels(training, scheme)
    warnings = dataset_warnings(training, ordered_labels, scheme)
    for line in warnings:
        log.debug("%s: %s", dataset.root, line)  # the planning report says them
    return Fingerprint(VERSION, scheme, dataset.channels, tuple(found), ordered_labels, warnings)


@dataclass(frozen=True)
class _Examination:
    """A picklable job: fingerprints one case, from the cache if its files are unchanged."""

    scheme: LabelScheme | None
    cache: Path | None

    def __call__(self, case: Case) -> CaseFingerprint:
        found = self._cached(case)
        if found is None:
            found = fingerprint_case(case, self.scheme)
            self._keep(case, found)
        verify.raise_together(verify.case_problems(case, found.voxels, self.scheme))
        return found

    def _key(self, case: Case) -> dict[str, Any]:
        paths = [*case.images, *([case.mask] if case.mask is not None else [])]
        files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
        stats = [file.stat() for file in files]
        return {
            "version": [VERSION, MEASURED],
            "scheme": self.scheme.to_dict() if self.scheme else None,
            "files": [[str(p.resolve()), s.st_size, s.st_mtime_ns] for p, s in zip(files, stats, strict=True)],
        }

    def _cached(self, case: Case) -> CaseFingerprint | None:
        if self.cache is None:
            return None
        path = self.cache / f"{case.id}.json"
        try:
            data = read_json(path) if path.exists() else None
            if not isinstance(data, Mapping) or data.get("key") != self._key(case):
                return None
            found = from_plain(CaseFingerprint, data["case"], str(path))
        except (UserError, KeyError):
            return None  # a damaged or outdated entry is made again
        return replace(
            found,
            id=case.id,
            patient=case.patient,
            sequence=case.sequence,
            subset=case.subset,
            vendor=case.vendor,
        )

    def _keep(self, case: Case, found: CaseFingerprint) -> None:
        if self.cache is not None:
            write_json(self.cache / f"{case.id}.json", {"key": self._key(case), "case": to_plain(found)})


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
