"""The answer for one scan: the mask, and what is to be said of each label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.files import write_json
from autospine.core.serial import to_plain
from autospine.core.version import __version__
from autospine.inference.predictor import Prediction
from autospine.labels.schemes import LabelScheme
from autospine.preprocessing.storage import describe_labels
from autospine.volumes import Volume, write_volume

VERSION = 1
ASSUMPTION = "Level names assume five lumbar vertebrae; levels are counted from the lowest one."
RESEARCH_ONLY = "For research, not a medical device."


@dataclass(frozen=True)
class LabelReport:
    """One label of the mask.

    Attributes:
        value: In the mask.
        anatomy: Key such as "vertebra:1".
        name: Such as "L5", under the stated assumption.
        level: Ordinal from the lowest lumbar vertebra, or None.
        confidence: 0 to 1: how sure its level (chains) or its class is.
        flags: "ambiguous", "cut by the field of view", "neighbour missing".
        centroid_mm: Position in the scanner's LPS frame.
        volume_ml: Of the label.
        voxels: Of the label.
    """

    value: int
    anatomy: str
    name: str
    level: int | None
    confidence: float
    flags: tuple[str, ...]
    centroid_mm: tuple[float, float, float]
    volume_ml: float
    voxels: int


@dataclass(frozen=True)
class Segmentation:
    """A segmented scan.

    Attributes:
        volume: The mask on the scan's own grid.
        scheme: What its integers mean.
        labels: One report per label present.
        ambiguous: Why the levels are uncertain; empty if they are not.
        warnings: Where the scan lies outside what the model was trained on.
        models: Names and weight digests of the models.
        classes: What the channels of stored probabilities mean.
        network_seconds: Spent in networks.
        stack: Labels of all slices, measured ones as in the mask and interpolated ones, on the scan's rows and columns;
            None where the plan interpolated none or nobody asked for them.
    """

    volume: Volume
    scheme: LabelScheme
    labels: tuple[LabelReport, ...]
    ambiguous: str
    warnings: tuple[str, ...]
    models: tuple[str, ...]
    classes: tuple[str, ...]
    network_seconds: float
    stack: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """`(slices, rows, columns)` canonical labels."""
        return self.volume.array

    def to_dict(self) -> dict[str, Any]:
        """What `<id>.json` holds."""
        return {
            "version": VERSION,
            "autospine": __version__,
            "models": list(self.models),
            "classes": list(self.classes),
            "scheme": self.scheme.name,
            "ambiguous": self.ambiguous,
            "warnings": list(self.warnings),
            "labels": to_plain(self.labels),
            "note": f"{ASSUMPTION} {RESEARCH_ONLY}",
        }

    def save(self, path: str | Path, report: str | Path) -> None:
        """Writes the mask, then its report."""
        write_volume(self.volume, path)
        write_json(report, self.to_dict())


def report_labels(mask: Volume, answer: Prediction, scheme: LabelScheme) -> tuple[LabelReport, ...]:
    """Describes every label of a mask.

    Args:
        mask: In `scheme`.
        answer: In the same scheme; its findings give level confidences and flags.
        scheme: Names.
    """
    label_results = {label_result.value: label_result for label_result in answer.decoded.label_results}
    affine = mask.canonical_affine()
    voxel_ml = float(np.prod(mask.spacing)) / 1000
    reports = []
    for record in describe_labels(mask.array):
        anatomy = scheme.anatomies[record.value]
        label_result = label_results.get(record.value)
        place = affine @ np.array([*record.centroid, 1.0])
        reports.append(
            LabelReport(
                value=record.value,
                anatomy=anatomy.key,
                name=anatomy.name,
                level=anatomy.level,
                confidence=round(
                    label_result.confidence if label_result else answer.confidence.get(record.value, 0.0), 4
                ),
                flags=label_result.flags if label_result else (),
                centroid_mm=(round(place[0], 2), round(place[1], 2), round(place[2], 2)),
                volume_ml=round(record.voxels * voxel_ml, 3),
                voxels=record.voxels,
            )
        )
    return tuple(reports)
