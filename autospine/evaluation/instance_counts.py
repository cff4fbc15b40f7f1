"""What is counted of the instances of one kind, and the rates that follow.

With nothing to count in either mask every rate is NaN ("absent"), with instances in only one of them 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from autospine.labels.anatomy import Anatomy, Kind

NAN = float("nan")
INSTANCE_METRICS = ("precision", "recall", "f1", "sq", "rq", "pq", "identification_rate")


@dataclass(frozen=True)
class Match:
    """A reference instance and the predicted one that stands for it, or either of them alone.

    Attributes:
        kind: What they are.
        reference: Anatomy in the reference, None if only the prediction shows something here.
        prediction: Anatomy in the prediction, None if nothing stands for the reference instance.
        iou: And `dice`: their overlap, 0 to 1; 0 if alone.
        distance_mm: Between their centroids; NaN if alone.
        detected: IoU at or above the threshold, of whole instances.
        identified: The reference's level is found, see `identification`.
        partial: A partly visible vertebra is involved: in no count but its own.
        beyond: Alone, and the other scheme has no place for it: in no count.
    """

    kind: Kind
    reference: Anatomy | None
    prediction: Anatomy | None
    iou: float = 0.0
    dice: float = 0.0
    distance_mm: float = NAN
    detected: bool = False
    identified: bool = False
    partial: bool = False
    beyond: bool = False

    @property
    def missed(self) -> bool:
        """Whether it counts as a reference instance that is not found."""
        return self.reference is not None and not (self.detected or self.partial or self.beyond)

    @property
    def false_positive(self) -> bool:
        """Whether it counts as a predicted instance without a counterpart."""
        return self.prediction is not None and not (self.detected or self.partial or self.beyond)


@dataclass(frozen=True)
class InstanceCounts:
    """Instances of one kind, of one case or of many, and the rates that follow.

    Attributes:
        kind: What is counted.
        levelled: Both schemes number their instances; without, nothing can be identified.
        detected: Pairs at or above the threshold (TP).
        false_positives: Predicted instances without such a counterpart (FP).
        missed: Reference instances without one (FN).
        identified: Reference instances whose level is found.
        iou_sum: Over the detected pairs.
        partial_detected: Partly visible vertebrae of the reference that the prediction shows, whole or partial.
        partial_missed: Those that it does not show.
        partial_extra: Further predictions on them, and predicted partly visible vertebrae that are none.
    """

    kind: Kind
    levelled: bool = True
    detected: int = 0
    false_positives: int = 0
    missed: int = 0
    identified: int = 0
    iou_sum: float = 0.0
    partial_detected: int = 0
    partial_missed: int = 0
    partial_extra: int = 0

    @property
    def references(self) -> int:
        """Reference instances that count: TP + FN."""
        return self.detected + self.missed

    @property
    def predictions(self) -> int:
        """Predicted instances that count: TP + FP."""
        return self.detected + self.false_positives

    @property
    def absent(self) -> bool:
        """Whether neither mask shows anything that counts; all rates are NaN then."""
        return self.references == self.predictions == 0

    @property
    def precision(self) -> float:
        """TP / (TP + FP), 0 to 1: how many of the predicted instances are there."""
        return self._share(self.detected, self.predictions)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), 0 to 1: how many of the reference instances are found."""
        return self._share(self.detected, self.references)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), 0 to 1."""
        return self._share(2 * self.detected, self.references + self.predictions)

    @property
    def sq(self) -> float:
        """Segmentation quality, 0 to 1: mean IoU of the detected pairs (Kirillov et al. 2019, eq. 2)."""
        return self._share(self.iou_sum, self.detected)

    @property
    def rq(self) -> float:
        """Recognition quality, 0 to 1: TP / (TP + FP / 2 + FN / 2), the same as F1 (Kirillov et al., eq. 2)."""
        return self.f1

    @property
    def pq(self) -> float:
        """Panoptic quality SQ x RQ, 0 to 1 (Kirillov et al. 2019, eq. 1)."""
        return self.sq * self.rq

    @property
    def identification_rate(self) -> float:
        """Identified over all reference instances, 0 to 1; NaN without levels or reference instances."""
        return self.identified / self.references if self.levelled and self.references else NAN

    def _share(self, part: float, whole: float) -> float:
        if self.absent:
            return NAN
        return part / whole if whole else 0.0


@dataclass(frozen=True)
class InstanceScore(InstanceCounts):
    """One kind of one case.

    Attributes:
        matches: Every instance of either mask stands in exactly one; in the order of anatomy.
        level_shift: Predicted minus true level if that is the same for all detected instances (0: none);
            None if it is not, if nothing is detected, or without levels.
    """

    matches: tuple[Match, ...] = ()
    level_shift: int | None = None
