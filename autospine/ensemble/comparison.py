"""What blending is worth: the ensemble's scores against those of its members alone, with an interval over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from autospine.ensemble.search import ScoresByWeighting, Weighting, single_member
from autospine.ensemble.stored_image import StoredImage
from autospine.evaluation.statistics import Interval, bootstrap


@dataclass(frozen=True)
class MemberDifference:
    """Mean IoU of the ensemble minus that of one member, image by image.

    Attributes:
        member: Its name.
        score: Its mean IoU.
        interval: Mean difference and its 95 % interval from resampled patients.
    """

    member: str
    score: float
    interval: Interval


@dataclass(frozen=True)
class MemberComparison:
    """The ensemble on some images.

    Attributes:
        part: "test" or "validation".
        fair: The weights were not chosen on these images.
        images: How many.
        score: Mean IoU of the ensemble.
        differences: One per member, the best member first.
    """

    part: str
    fair: bool
    images: int
    score: float
    differences: tuple[MemberDifference, ...]

    @property
    def better(self) -> MemberDifference:
        """Against the member that is best on these very images: the hardest one to beat."""
        return self.differences[0]

    def line(self) -> str:
        """For people, negative or not."""
        best = self.better
        text = (
            f"{self.part}, {self.images} image{'' if self.images == 1 else 's'}: mean IoU {self.score:.4f}, "
            f"{best.interval.mean:+.4f} {_range(best.interval)} against {best.member} alone ({best.score:.4f})"
        )
        return text if self.fair else f"{text}; the weights were chosen on these images, so this is too good"

    def to_dict(self) -> dict[str, Any]:
        """What difference.json holds."""
        rows = {
            each.member: {
                "iou": _number(each.score),
                "difference": _number(each.interval.mean),
                "low": _number(each.interval.low),
                "high": _number(each.interval.high),
                "patients": each.interval.patients,
            }
            for each in self.differences
        }
        return {
            "metric": "mean IoU over classes and images",
            "part": self.part,
            "chosen_on_other_images": self.fair,
            "images": self.images,
            "ensemble": _number(self.score),
            "better_member": self.better.member,
            "members": rows,
        }


def _number(value: float) -> float | None:
    return None if isnan(value) else value


def _range(interval: Interval) -> str:
    if isnan(interval.low):
        return "(one patient: no interval)" if interval.patients else "(nothing to compare)"
    return f"(95 % interval {interval.low:+.4f} to {interval.high:+.4f}, {interval.patients} patients)"


def compare(
    names: Sequence[str],
    chosen: Weighting,
    images: Sequence[StoredImage],
    measured: ScoresByWeighting,
    part: str,
    fair: bool,
) -> MemberComparison:
    """Compares a weighting with each member alone.

    Args:
        names: Of the members.
        chosen: The ensemble's weighting.
        images: That were measured.
        measured: Scores of `chosen` and of each member alone on them.
        part: Of the images.
        fair: Whether the weights were chosen on other images.
    """
    rows = []
    for k, name in enumerate(names):
        own = measured[single_member(k, len(names))]
        found = bootstrap(_by_patient(images, measured[chosen].iou - own.iou))
        rows.append(MemberDifference(name, own.mean_iou, found))
    rows.sort(key=lambda row: -1.0 if isnan(row.score) else row.score, reverse=True)
    return MemberComparison(part, fair, len(images), measured[chosen].mean_iou, tuple(rows))


def _by_patient(images: Sequence[StoredImage], values: np.ndarray) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = {}
    for image, value in zip(images, values, strict=True):
        found.setdefault(image.record.patient, []).append(float(value))
    return found
