"""Result for one scan: the mask, and a report on each of its labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.files import write_json
from autospine.core.serial import to_plain
from autospine.core.tables import DISCLAIMER
from autospine.core.version import __version__
from autospine.inference.levels.numbering import LevelEvidence
from autospine.inference.predictor import Prediction
from autospine.labels.conversion import scheme_entries
from autospine.labels.schemes import LabelScheme
from autospine.preprocessing.storage import LabelRecord
from autospine.volumes import Volume, write_volume

VERSION = 1
ASSUMPTION = "Level names assume five lumbar vertebrae; levels are counted from the lowest one."


@dataclass(frozen=True)
class LabelReport:
    """One label of a mask."""

    value: int  # integer in the mask
    anatomy: str  # key such as "vertebra:1"
    name: str  # such as "L5", under the stated assumption
    level: int | None  # ordinal from the lowest lumbar vertebra, or None
    confidence: float  # calibrated probability of its class, times that of its level (ordered labels), 0 to 1
    flags: tuple[str, ...]  # "ambiguous", "cut by the field of view", "neighbour missing"
    centroid_mm: tuple[float, float, float]  # position in the scanner's LPS frame
    volume_ml: float  # volume of the label
    voxels: int  # number of its voxels


@dataclass(frozen=True)
class Segmentation:
    """A segmented scan."""

    volume: Volume  # the mask on the scan's own grid
    scheme: LabelScheme  # meaning of the mask's integers
    labels: tuple[LabelReport, ...]  # one report per label of the mask
    ambiguous: str  # why the levels are uncertain; empty if they are not
    warnings: tuple[str, ...]  # where the scan lies outside the training domain
    models: tuple[str, ...]  # names and weight digests of the models
    classes: tuple[str, ...]  # meaning of the channels of stored probabilities
    network_seconds: float  # spent in networks
    # Labels of all slices, measured ones as in the mask and interpolated ones, on the scan's rows and columns; None
    # where the plan interpolated none or nobody asked for them.
    interpolated_labels: np.ndarray | None = None
    implausible: tuple[str, ...] = ()  # where the mask is unlike those of the training data
    # What was segmented but has no integer in the scheme: reports with the value 0.
    not_in_mask: tuple[LabelReport, ...] = ()
    not_seen: tuple[str, ...] = ()  # what the model's training was not shown, as far as its card says so
    level_evidence: LevelEvidence | None = None  # that the levels were decided by; None where none were

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what to know before the mask is used: ambiguous levels, and what is implausible."""
        ambiguous = [f"AMBIGUOUS levels: {self.ambiguous}"] if self.ambiguous else []
        return (*ambiguous, *(f"IMPLAUSIBLE: {sentence}" for sentence in self.implausible))

    @property
    def mask(self) -> np.ndarray:
        """Return the canonical labels, `(slices, rows, columns)`."""
        return self.volume.array

    def to_dict(self) -> dict[str, Any]:
        """Return what `<id>.json` holds."""
        return {
            "version": VERSION,
            "autospine": __version__,
            "models": list(self.models),
            "classes": list(self.classes),
            **scheme_entries(self.scheme),
            "ambiguous": self.ambiguous,
            "warnings": list(self.warnings),
            "implausible": list(self.implausible),
            "not_seen": list(self.not_seen),
            "labels": to_plain(self.labels),
            "not_in_mask": to_plain(self.not_in_mask),
            "note": f"{ASSUMPTION} {DISCLAIMER}",
        }

    def save(self, path: str | Path, report: str | Path) -> None:
        """Write the mask, then its report."""
        write_volume(self.volume, path)
        write_json(report, self.to_dict())


def report_labels(
    volume: Volume, records: Iterable[LabelRecord], prediction: Prediction, scheme: LabelScheme
) -> tuple[LabelReport, ...]:
    """Report labels of a prediction in `scheme`, on the grid of a volume."""
    results = {result.value: result for result in prediction.decoded.label_results}
    reports = []
    for record in records:
        anatomy, result = scheme.anatomies[record.value], results.get(record.value)
        confidence = result.confidence if result else prediction.confidence.get(record.value, 0.0)
        reports.append(
            LabelReport(
                value=record.value,
                anatomy=anatomy.key,
                name=anatomy.name,
                level=anatomy.level,
                confidence=round(confidence, 4),
                flags=result.flags if result else (),
                centroid_mm=position_mm(volume, record.centroid),
                volume_ml=volume_ml(volume, record.voxels),
                voxels=record.voxels,
            )
        )
    return tuple(reports)


def position_mm(volume: Volume, voxel: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Return the position of a canonical voxel in the scanner's LPS frame, to 0.01 mm."""
    x, y, z, _ = volume.canonical_affine() @ np.array([*voxel, 1.0])
    return round(x, 2), round(y, 2), round(z, 2)


def volume_ml(volume: Volume, voxels: int) -> float:
    """Return the volume of some voxels in millilitres, to 0.001."""
    return round(voxels * float(np.prod(volume.spacing)) / 1000, 3)
