"""Comparison of an ensemble with its members alone: differences of mean IoU, with an interval over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from autospine.ensemble.search import ScoresByWeighting, Weighting, single_member
from autospine.ensemble.stored_image import StoredImage
from autospine.evaluation.statistics import Interval, bootstrap, by_patient


@dataclass(frozen=True)
class MemberDifference:
    """Mean IoU of the ensemble minus that of one member, image by image."""

    member: str
    score: float  # its mean IoU
    interval: Interval  # mean difference and its 95 % interval from resampled patients


@dataclass(frozen=True)
class MemberComparison:
    """The ensemble on some images."""

    subset: str  # "test" or "validation"
    independent: bool  # whether the weights were chosen on other images
    images: int  # number of images
    score: float  # mean IoU of the ensemble
    differences: tuple[MemberDifference, ...]  # one per member, the best member first

    @property
    def best_member(self) -> MemberDifference:
        """Return the difference to the member that is best on these very images, the hardest one to beat."""
        return self.differences[0]

    def line(self) -> str:
        """Return one line that says the difference, negative or not."""
        best = self.best_member
        text = (
            f"{self.subset}, {self.images} image{'' if self.images == 1 else 's'}: mean IoU {self.score:.4f}, "
            f"{best.interval.mean:+.4f} {_range(best.interval)} against {best.member} alone ({best.score:.4f})"
        )
        return text if self.independent else f"{text}; the weights were chosen on these images, so this is too good"

    def to_dict(self) -> dict[str, Any]:
        """Return what difference.json holds."""
        members = {
            row.member: {
                "iou": _number(row.score),
                "difference": _number(row.interval.mean),
                "low": _number(row.interval.low),
                "high": _number(row.interval.high),
                "patients": row.interval.patients,
            }
            for row in self.differences
        }
        return {
            "metric": "mean IoU over classes and images",
            "subset": self.subset,
            "chosen_on_other_images": self.independent,
            "images": self.images,
            "ensemble": _number(self.score),
            "best_member": self.best_member.member,
            "members": members,
        }


def _number(value: float) -> float | None:
    return None if isnan(value) else value


def _range(interval: Interval) -> str:
    if isnan(interval.low):
        return "(one patient: no interval)" if interval.patients else "(nothing to compare)"
    return f"(95 % interval {interval.low:+.4f} to {interval.high:+.4f}, {interval.patients} patients)"


def compare_with_members(
    names: Sequence[str],
    chosen: Weighting,
    images: Sequence[StoredImage],
    scores: ScoresByWeighting,
    subset: str,
    independent: bool,
) -> MemberComparison:
    """Compare a weighting with each member alone."""
    patients = {image.name: image.record.patient for image in images}
    rows = []
    for k, name in enumerate(names):
        member = scores[single_member(k, len(names))]
        differences = dict(zip(patients, scores[chosen].iou - member.iou, strict=True))
        interval = bootstrap(by_patient(differences, patients))
        rows.append(MemberDifference(name, member.mean_iou, interval))
    rows.sort(key=lambda row: -1.0 if isnan(row.score) else row.score, reverse=True)
    return MemberComparison(subset, independent, len(images), scores[chosen].mean_iou, tuple(rows))
