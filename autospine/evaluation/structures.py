"""Scores of one case: two masks of one grid, structure by structure.

docs/evaluation.md has the values where a mask is empty: 0, or the reference image's diagonal in mm. NaN is "absent in
both", in no mean, but counted. Log loss is NaN without probabilities and where the reference lacks the structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from math import nan, prod

import numpy as np

from autospine.core.errors import UserError
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.probabilities import Probabilities
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import Conversion, conversion
from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.metrics import overlap, surface
from autospine.metrics.probability import NLLSum, log_loss

TOLERANCE_MM = 1.0
ALL_LEVELS = {Kind.VERTEBRA: "all vertebrae", Kind.DISC: "all discs", Kind.BODY: "all vertebral bodies"}
GROUPS = {1: Anatomy(Kind.VERTEBRA), 2: Anatomy(Kind.DISC), 3: Anatomy(Kind.BODY)}
GROUP_OF = {Kind.VERTEBRA: 1, Kind.PARTIAL_VERTEBRA: 1, Kind.DISC: 2, Kind.BODY: 3}
PARTS = {Kind.BODY, Kind.POSTERIOR_ELEMENTS, Kind.LAMINA}  # of a vertebra


@dataclass(frozen=True)
class CommonLabels:
    """Both label schemes brought to the anatomies that they share."""

    prediction: Conversion  # from the prediction's labels to rows 1, 2, ... of the shared anatomies
    reference: Conversion  # from the reference's labels to the same rows
    prediction_groups: (
        Conversion  # from the prediction's labels to all levels of a kind: 1 vertebrae, 2 discs, 3 bodies
    )
    reference_groups: Conversion  # the same for the reference
    groups: tuple[int, ...]  # the groups worth a row of their own, because their members have levels

    @property
    def rows(self) -> tuple[Anatomy, ...]:
        """Return the shared anatomies, in the order of their rows."""
        return tuple(self.reference.target.anatomies.values())

    @property
    def schemes(self) -> tuple[LabelScheme, LabelScheme]:
        """Return the label schemes of prediction and reference."""
        return self.prediction.source, self.reference.source


def comparable_schemes(
    prediction: LabelScheme, reference: LabelScheme, shown: tuple[Iterable[int], Iterable[int]] | None = None
) -> tuple[LabelScheme, LabelScheme]:
    """Return both schemes, where bodies with posterior elements are whole vertebrae if the other has only these.

    Bodies alone stay bodies: against whole vertebrae there is nothing to compare.

    Args:
        prediction: The prediction's labels.
        reference: The reference's labels.
        shown: The labels that the masks of a case show; None takes all that the schemes have.
    """
    schemes = prediction, reference
    labels = (schemes[0].anatomies, schemes[1].anatomies) if shown is None else shown
    kinds = [{s.anatomies[v].kind for v in own if v in s.anatomies} for s, own in zip(schemes, labels, strict=True)]
    return _as_wholes(prediction, kinds[0], kinds[1]), _as_wholes(reference, kinds[1], kinds[0])


def _as_wholes(scheme: LabelScheme, kinds: set[Kind], others: set[Kind]) -> LabelScheme:
    whole = Kind.BODY in kinds and kinds & (PARTS - {Kind.BODY})
    if not whole or Kind.VERTEBRA not in others or others & PARTS:
        return scheme
    anatomies = {
        value: replace(anatomy, kind=Kind.VERTEBRA) if anatomy.kind in PARTS else anatomy
        for value, anatomy in scheme.anatomies.items()
    }
    return replace(scheme, anatomies=anatomies)


def common_labels(prediction: LabelScheme, reference: LabelScheme) -> CommonLabels:
    """Find the finest anatomies that two schemes share (see `comparable_schemes` for the parts of vertebrae).

    Levels are dropped where only one side has them: "vertebra" against L1 to L5 is compared as "vertebra".
    What has no counterpart counts as background and is in the conversions' `lost`; the groups still hold it.
    """
    to_reference, to_prediction = _equals(prediction, reference), _equals(reference, prediction)
    shared = _shared(to_reference, to_prediction), _shared(to_prediction, to_reference)
    rows = sorted({*shared[0].values(), *shared[1].values()})
    levelled = {GROUP_OF[row.kind] for row in rows if row.level is not None and row.kind in GROUP_OF}
    return CommonLabels(
        _to_rows(prediction, shared[0], rows),
        _to_rows(reference, shared[1], rows),
        _to_groups(prediction),
        _to_groups(reference),
        tuple(group for group in sorted(levelled) if GROUPS[group] not in rows),
    )


def _equals(source: LabelScheme, target: LabelScheme) -> Conversion:
    """Return the conversion in which no part of a vertebra stands for the whole."""
    change = conversion(source, target)
    table = {
        label: BACKGROUND
        if label in source.anatomies
        and source.anatomies[label].kind in PARTS
        and new in change.target.anatomies
        and change.target.anatomies[new].kind is Kind.VERTEBRA
        else new
        for label, new in change.table.items()
    }
    return replace(change, table=table)


def _shared(forward: Conversion, backward: Conversion) -> dict[int, Anatomy]:
    """Return, by label of one side, the anatomy that it shares with the other side."""
    reached = {backward.target.anatomies.get(label) for label in backward.table.values()}
    shared = {}
    for label, anatomy in forward.source.anatomies.items():
        converted = forward.table[label]
        if converted != BACKGROUND:
            shared[label] = forward.target.anatomies[converted]
        elif anatomy in reached:
            shared[label] = anatomy
    return shared


def _to_rows(scheme: LabelScheme, shared: dict[int, Anatomy], rows: list[Anatomy]) -> Conversion:
    row_of = {anatomy: row for row, anatomy in enumerate(rows, start=1)}
    table = {label: row_of[shared[label]] if label in shared else BACKGROUND for label in scheme.anatomies}
    lost = {anatomy for label, anatomy in scheme.anatomies.items() if label not in shared}
    return _conversion(scheme, dict(enumerate(rows, start=1)), table, lost)


def _to_groups(scheme: LabelScheme) -> Conversion:
    table = {label: GROUP_OF.get(anatomy.kind, BACKGROUND) for label, anatomy in scheme.anatomies.items()}
    return _conversion(scheme, GROUPS, table, set())


def _conversion(
    source: LabelScheme, anatomies: dict[int, Anatomy], table: dict[int, int], lost: set[Anatomy]
) -> Conversion:
    """Return a conversion that gives unlabelled voxels the value above all rows."""
    target = LabelScheme("comparison", anatomies, ignore_label=len(anatomies) + 1)
    ignored = {} if source.ignore_label is None else {source.ignore_label: len(anatomies) + 1}
    return Conversion(source, target, {BACKGROUND: BACKGROUND, **table, **ignored}, tuple(sorted(lost)))


class Presence(str, Enum):
    """Which masks show a structure."""

    BOTH = "both"
    PREDICTION = "prediction only"
    REFERENCE = "reference only"
    NEITHER = "absent in both"


@dataclass(frozen=True)
class LabelScore:
    """How well one structure of one case is segmented."""

    anatomy: Anatomy  # the structure; a kind without level stands for all of that kind
    presence: Presence  # which masks show it
    # True for "all vertebrae" and "all discs" beside rows of single levels; in no mean of a case.
    all_levels: bool = False
    dice: float = nan  # and `iou`, `f1` (equal to Dice), `precision`, `recall`: 0 to 1
    iou: float = nan
    f1: float = nan
    precision: float = nan
    recall: float = nan
    accuracy: float = nan  # share of the image's annotated voxels that are right, 0 to 1; the background rules it
    nsd: float = nan  # share of both surfaces within the tolerance of the other, 0 to 1, by area
    reference_surface_recall: float = nan  # share of the reference's surface nearer than the tolerance, 0 to 1, by area
    asd_mm: float = nan  # average symmetric surface distance, the mean of the two directed ones
    asd_prediction_mm: float = nan  # average distance from the prediction's surface to the reference's
    asd_reference_mm: float = nan  # average distance from the reference's surface to the prediction's
    hd_mm: float = nan  # Hausdorff distance; `hd95_mm` its 95th percentile by area
    hd95_mm: float = nan
    volume_ml: float = nan  # the reference's volume
    predicted_volume_ml: float = nan  # the prediction's volume
    volume_error_ml: float = nan  # the prediction's volume minus the reference's
    volume_error_share: float = nan  # that as a share of the reference's volume
    # Mean of -ln p(class) over the reference's voxels of the structure, in nats: a part of the case's log loss, see
    # `autospine.evaluation.probabilities`.
    log_loss: float = nan

    @property
    def name(self) -> str:
        """Return the structure's name for people (assumes five lumbar vertebrae)."""
        several = self.all_levels or self.anatomy.kind is not Kind.BODY  # an axial slice shows one body
        plural = ALL_LEVELS.get(self.anatomy.kind) if self.anatomy.level is None and several else None
        return plural or self.anatomy.name


METRICS = tuple(field.name for field in fields(LabelScore) if field.name not in ("anatomy", "presence", "all_levels"))


def score_case(
    pair: MaskPair, tolerance_mm: float = TOLERANCE_MM, probabilities: Probabilities | None = None
) -> list[LabelScore]:
    """Score the structures of one case.

    Args:
        pair: Both masks.
        tolerance_mm: Of both normalised surface distances.
        probabilities: The prediction's, for the log loss.

    Returns:
        One score per structure that both schemes can express and that at least one mask shows, in the
        order of anatomy; then "all vertebrae" and "all discs" if their levels were scored one by one.

    Raises:
        UserError: A mask holds a label outside its scheme, or the tolerance is below 0.
    """
    if not tolerance_mm >= 0:
        raise UserError("tolerance", f"is {tolerance_mm} mm", "give 0 or more")
    prediction, reference = pair.prediction, pair.reference
    ignore_label = pair.schemes[1].ignore_label
    common = common_labels(*pair.schemes)
    losses = probabilities.negative_log_likelihood(reference, pair.schemes[1]) if probabilities else {}
    box = surface.bounding_box(np.logical_or(prediction, reference))
    if box is None:
        return []
    ignored = 0 if ignore_label is None else int(np.count_nonzero(reference == ignore_label))
    diagonal_mm = surface.diagonal(reference.shape, pair.spacing)
    image = _Image(tuple(pair.spacing), diagonal_mm, reference.size - ignored, tolerance_mm, losses)
    box = _widened(box, reference.shape)  # keeps volumes of several slices from looking like one slice
    masks = replace(pair, prediction=prediction[box], reference=reference[box])
    scores = _score_rows(masks, common.prediction, common.reference, range(1, len(common.rows) + 1), image)
    if common.groups:
        groups = _score_rows(masks, common.prediction_groups, common.reference_groups, common.groups, image)
        scores += [replace(score, all_levels=True) for score in groups]
    return scores


@dataclass(frozen=True)
class _Image:
    """What turns counts and distances into figures."""

    spacing: tuple[float, ...]  # mm along each axis
    penalty_distance_mm: float  # the image's diagonal, the distance to a surface that is not there
    voxels: int  # all that are annotated
    tolerance_mm: float  # of the normalised surface distances
    losses: Mapping[int, NLLSum]  # by label of the reference


def _score_rows(
    masks: MaskPair, to_rows: Conversion, reference_to_rows: Conversion, rows: Iterable[int], image: _Image
) -> list[LabelScore]:
    """Score those of `rows` that either mask shows; the conversions are of the prediction and of the reference."""
    prediction = to_rows.apply(masks.prediction, masks.sources[0])
    reference = reference_to_rows.apply(masks.reference, masks.sources[1])
    target = reference_to_rows.target
    prediction[(reference == target.ignore_label) | (prediction == target.ignore_label)] = 0
    reference[reference == target.ignore_label] = 0
    boxes = _boxes(prediction, reference, len(target.anatomies))
    scores = []
    for row in rows:
        box = boxes[row - 1]
        if box is not None:
            loss = log_loss(part for label, part in image.losses.items() if reference_to_rows.table[label] == row)
            pair = prediction[box] == row, reference[box] == row
            scores.append(_label_score(target.anatomies[row], *pair, loss, image))
    return scores


def _widened(box: tuple[slice, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(max(side.start - 1, 0), min(side.stop + 1, size)) for side, size in zip(box, shape, strict=True))


def _boxes(prediction: np.ndarray, reference: np.ndarray, rows: int) -> list[tuple[slice, ...] | None]:
    """Return each row's box in both masks together, one voxel wider inside the image; None if neither shows it."""
    from scipy.ndimage import find_objects

    boxes: list[tuple[slice, ...] | None] = []
    for one, other in zip(find_objects(prediction, rows), find_objects(reference, rows), strict=True):
        if one is None and other is None:
            boxes.append(None)
            continue
        sides = zip(one or other, other or one, strict=True)
        joint = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in sides)
        boxes.append(_widened(joint, reference.shape))
    return boxes


def _label_score(
    anatomy: Anatomy, prediction: np.ndarray, reference: np.ndarray, loss: float, image: _Image
) -> LabelScore:
    """Score one structure from its two boolean masks in its box."""
    counts = overlap.count(prediction, reference)
    elsewhere = image.voxels - prediction.size
    return LabelScore(
        anatomy=anatomy,
        presence=_presence(counts),
        all_levels=False,
        **_overlap(replace(counts, neither=counts.neither + elsewhere), prod(image.spacing)),
        **_distances(surface.surfaces(prediction, reference, image.spacing), image),
        log_loss=loss,
    )


def _overlap(counts: overlap.Counts, voxel_mm3: float) -> dict[str, float]:
    return {
        "dice": overlap.dice(counts),
        "iou": overlap.iou(counts),
        "f1": overlap.f1(counts),
        "precision": overlap.precision(counts),
        "recall": overlap.recall(counts),
        "accuracy": overlap.accuracy(counts),
        "volume_ml": counts.reference * voxel_mm3 / 1000,
        "predicted_volume_ml": counts.prediction * voxel_mm3 / 1000,
        "volume_error_ml": overlap.volume_error(counts, voxel_mm3),
        "volume_error_share": overlap.volume_error_share(counts),
    }


def _distances(between: surface.Surfaces | None, image: _Image) -> dict[str, float]:
    if between is None:
        distances = ("asd_mm", "asd_prediction_mm", "asd_reference_mm", "hd_mm", "hd95_mm")
        return {"nsd": 0.0, "reference_surface_recall": 0.0, **dict.fromkeys(distances, image.penalty_distance_mm)}
    to_reference, to_prediction = surface.directed_distances(between)
    return {
        "nsd": surface.surface_dice(between, image.tolerance_mm),
        "reference_surface_recall": surface.reference_surface_recall(between, image.tolerance_mm),
        "asd_mm": surface.average_distance(between),
        "asd_prediction_mm": to_reference,
        "asd_reference_mm": to_prediction,
        "hd_mm": surface.hausdorff_distance(between),
        "hd95_mm": surface.hausdorff_distance(between, 95),
    }


def _presence(counts: overlap.Counts) -> Presence:
    if counts.prediction and counts.reference:
        return Presence.BOTH
    return Presence.PREDICTION if counts.prediction else Presence.REFERENCE
