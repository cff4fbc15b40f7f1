"""The instances in two masks: where they lie, how they overlap, which belong together, which carry the right level.

An instance is one anatomy with a level, however many connected components it has. Where a scheme has no levels
("vertebra"), every connected component (26 neighbours) is one: vertebrae that touch are one instance, and
every stray voxel is one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from autospine.evaluation.mask_pair import MaskPair
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import Conversion
from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.metrics.components import connected_components
from autospine.metrics.surface import bounding_box

COUNTABLE = (Kind.VERTEBRA, Kind.DISC, Kind.BODY, Kind.POSTERIOR_ELEMENTS, Kind.LAMINA, Kind.FORAMEN)
MAX_DISTANCE_MM = 20.0  # VerSe: further off, a centroid identifies nothing


@dataclass(frozen=True)
class Overlaps:
    """All instances of two masks, P predicted ones and R in the reference."""

    predictions: tuple[Anatomy, ...]  # their anatomies, P of them; alike where a scheme has no levels
    references: tuple[Anatomy, ...]  # the same, R of them
    shared: np.ndarray  # (P, R) voxels in common
    predicted: np.ndarray  # (P,) voxels of the predicted instances
    annotated: np.ndarray  # (R,) voxels of the reference instances
    prediction_centroids: np.ndarray  # (P, 3) mm along (slices, rows, columns)
    reference_centroids: np.ndarray  # (R, 3) the same

    @property
    def iou(self) -> np.ndarray:
        """Return (P, R) common voxels over voxels in either, 0 to 1."""
        return self.shared / (self.predicted[:, None] + self.annotated - self.shared)

    @property
    def dice(self) -> np.ndarray:
        """Return (P, R) twice the common voxels over the sum of both, 0 to 1."""
        return 2 * self.shared / (self.predicted[:, None] + self.annotated)


def family(kind: Kind) -> Kind:
    """Return the kind that an anatomy is counted under: a partly visible vertebra is one of the vertebrae."""
    return Kind.VERTEBRA if kind is Kind.PARTIAL_VERTEBRA else kind


def common_kinds(prediction: LabelScheme, reference: LabelScheme) -> tuple[Kind, ...]:
    """Return the countable kinds that both schemes have."""
    sides = [{family(anatomy.kind) for anatomy in scheme.anatomies.values()} for scheme in (prediction, reference)]
    return tuple(kind for kind in COUNTABLE if kind in sides[0] & sides[1])


def find_overlaps(pair: MaskPair) -> Overlaps:
    """Find and measure the instances of all kinds that both schemes have.

    Raises:
        UserError: A mask holds fractions or a label outside its scheme.
    """
    box = bounding_box((pair.prediction != BACKGROUND) | (pair.reference != BACKGROUND))
    box = box or (slice(0),) * pair.prediction.ndim
    kinds = common_kinds(*pair.schemes)
    to_rows = [_to_rows(scheme, kinds) for scheme in pair.schemes]
    masks = [
        change.apply(mask[box], source)
        for change, mask, source in zip(to_rows, (pair.prediction, pair.reference), pair.sources, strict=True)
    ]
    ignored = (masks[0] == to_rows[0].target.ignore_label) | (masks[1] == to_rows[1].target.ignore_label)
    split = []
    for mask, change in zip(masks, to_rows, strict=True):
        mask[ignored] = BACKGROUND
        split.append(_split(mask, tuple(change.target.anatomies.values())))
    first = [side.start or 0 for side in box]
    return _measure(split[0][0], split[1][0], first, pair.spacing, (split[0][1], split[1][1]))


def _to_rows(scheme: LabelScheme, kinds: Sequence[Kind]) -> Conversion:
    """Return the conversion from a scheme's labels to rows 1, 2, ...: one per anatomy of these kinds."""
    anatomies = {anatomy for anatomy in scheme.anatomies.values() if family(anatomy.kind) in kinds}
    row_of = {anatomy: row for row, anatomy in enumerate(sorted(anatomies), start=1)}
    ignore_label = len(row_of) + 1
    table = {label: row_of.get(anatomy, BACKGROUND) for label, anatomy in scheme.anatomies.items()}
    if scheme.ignore_label is not None:
        table[scheme.ignore_label] = ignore_label
    target = LabelScheme("instances", {row: anatomy for anatomy, row in row_of.items()}, ignore_label)
    return Conversion(scheme, target, {BACKGROUND: BACKGROUND, **table}, ())


def _split(rows: np.ndarray, anatomies: tuple[Anatomy, ...]) -> tuple[np.ndarray, tuple[Anatomy, ...]]:
    """Give every connected component of an anatomy without level a row of its own."""
    instances = list(anatomies)
    for row, anatomy in enumerate(anatomies, start=1):
        if anatomy.level is None:
            components, count = connected_components(rows == row)
            if count > 1:  # the first component keeps the row
                rows = np.where(components > 1, components + len(instances) - 1, rows)
                instances += [anatomy] * (count - 1)
    return rows, tuple(instances)


def _measure(
    prediction: np.ndarray,
    reference: np.ndarray,
    first: Sequence[int],
    spacing: Sequence[float],
    anatomies: tuple[tuple[Anatomy, ...], tuple[Anatomy, ...]],
) -> Overlaps:
    """Count the voxels of rows 1, 2, ... and find their centroids; rows that no voxel has are left out.

    Both masks are rows, (slices, rows, columns), `first` being their first voxel's index in the image; the anatomies
    are those of the rows of prediction and reference.
    """
    sums = _sums(prediction, reference, len(anatomies[0]) + 1, len(anatomies[1]) + 1)
    sides = []
    for axis, names in ((2, anatomies[0]), (1, anatomies[1])):
        voxels, *index_sums = sums.sum(axis=axis)[:, 1:]  # (4, rows)
        shown = np.flatnonzero(voxels)
        centroids = np.stack(index_sums, axis=-1)[shown] / voxels[shown, None]  # (shown, 3) voxels
        sides.append((shown, tuple(names[row] for row in shown), voxels[shown], (centroids + first) * spacing))
    (rows, predictions, predicted, centroids), (columns, references, annotated, true_centroids) = sides
    shared = sums[0, 1:, 1:][np.ix_(rows, columns)]
    return Overlaps(predictions, references, shared, predicted, annotated, centroids, true_centroids)


def _sums(prediction: np.ndarray, reference: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return of every pair of rows the number of its voxels and the sums of their indices, (4, height, width).

    Slice by slice, so that no index array of the whole volume is ever held.
    """
    size = height * width
    sums = np.zeros((4, size))
    for index, (predicted, annotated) in enumerate(zip(prediction, reference, strict=True)):
        shown = np.flatnonzero(predicted | annotated)  # (n,)
        if shown.size:
            pair = predicted.ravel()[shown].astype(np.intp) * width + annotated.ravel()[shown]
            row, column = np.divmod(shown, predicted.shape[1])
            counts = np.bincount(pair, minlength=size)
            sums[0] += counts
            sums[1] += counts * index
            sums[2] += np.bincount(pair, row, minlength=size)
            sums[3] += np.bincount(pair, column, minlength=size)
    return sums.reshape(4, height, width)


def best_matching(iou: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """Find the best one-to-one matching by the (P, R) IoU, 0 where a pair is not allowed (Hungarian method).

    As many pairs as can be reach the threshold; among those matchings the sum of all IoU is greatest. The sum
    alone would give up a good pair for two poor ones.

    Returns:
        Indices (prediction, reference) with an IoU above 0.
    """
    from scipy.optimize import linear_sum_assignment

    bonus = min(iou.shape, default=0) + 1  # more than all IoU together
    rows, columns = linear_sum_assignment(iou + bonus * (iou >= threshold), maximize=True)
    return [(int(p), int(r)) for p, r in zip(rows, columns, strict=True) if iou[p, r] > 0]


def identified(
    predictions: Sequence[Anatomy],
    prediction_centroids: np.ndarray,
    references: Sequence[Anatomy],
    reference_centroids: np.ndarray,
    max_distance_mm: float = MAX_DISTANCE_MM,
) -> list[bool]:
    """Tell which of R reference instances are identified, by the centroids of both sides, (P, 3) and (R, 3) mm.

    As in VerSe (Sekuboyina et al. 2021, "VerSe: a vertebrae labelling and segmentation benchmark for
    multi-detector CT images"): of all predicted centroids the nearest one has the reference's level, and
    lies within 20 mm. Overlap is not asked for.

    Returns:
        One flag per reference; one without level is never identified.
    """
    from scipy.spatial.distance import cdist

    if not predictions or not references:
        return [False] * len(references)
    flags = []
    for reference, distances in zip(references, cdist(reference_centroids, prediction_centroids), strict=True):
        nearest = int(distances.argmin())
        same_level = reference.level is not None and predictions[nearest].level == reference.level
        flags.append(bool(same_level and distances[nearest] <= max_distance_mm))
    return flags


def common_shift(levels: Iterable[tuple[int, int]]) -> int | None:
    """Return by how many levels all instances are off, of pairs (predicted, true); None if they differ or are none.

    Example:
        >>> common_shift([(2, 1), (3, 2)]), common_shift([(1, 1), (3, 2)])
        (1, None)
    """
    offsets = {predicted - true for predicted, true in levels}
    return offsets.pop() if len(offsets) == 1 else None
