"""The instances in two masks: where they lie, how they overlap, which belong together.

An instance is one anatomy with a level, however many pieces it is in. Where a scheme has no levels
("vertebra"), every connected piece (26 neighbours) is one: vertebrae that touch are one instance, and
every stray voxel is one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import Conversion
from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.metrics.surface import bounding_box

if TYPE_CHECKING:
    import numpy as np

COUNTABLE = (Kind.VERTEBRA, Kind.DISC, Kind.BODY, Kind.LAMINA, Kind.FORAMEN)


@dataclass(frozen=True)
class Overlaps:
    """All instances of two masks, P predicted ones and R in the reference.

    Attributes:
        predictions: Their anatomies, P of them; alike where a scheme has no levels.
        references: The same, R of them.
        shared: (P, R) voxels in common.
        predicted: (P,) voxels of each.
        annotated: (R,) voxels of each.
        prediction_centroids: (P, 3) mm along (slices, rows, columns).
        reference_centroids: (R, 3) the same.
    """

    predictions: tuple[Anatomy, ...]
    references: tuple[Anatomy, ...]
    shared: np.ndarray
    predicted: np.ndarray
    annotated: np.ndarray
    prediction_centroids: np.ndarray
    reference_centroids: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """(P, R) common voxels over voxels in either, 0 to 1."""
        return self.shared / (self.predicted[:, None] + self.annotated - self.shared)

    @property
    def dice(self) -> np.ndarray:
        """(P, R) twice the common voxels over the sum of both, 0 to 1."""
        return 2 * self.shared / (self.predicted[:, None] + self.annotated)


def family(kind: Kind) -> Kind:
    """The kind that an anatomy is counted under: a partly visible vertebra is one of the vertebrae."""
    return Kind.VERTEBRA if kind is Kind.PARTIAL_VERTEBRA else kind


def common_kinds(prediction: LabelScheme, reference: LabelScheme) -> tuple[Kind, ...]:
    """Countable kinds that both schemes have."""
    sides = [{family(one.kind) for one in scheme.anatomies.values()} for scheme in (prediction, reference)]
    return tuple(kind for kind in COUNTABLE if kind in sides[0] & sides[1])


def find_overlaps(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    schemes: tuple[LabelScheme, LabelScheme],
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
) -> Overlaps:
    """Finds and measures the instances of all kinds that both schemes have.

    Args:
        prediction: Integers of the first scheme, (slices, rows, columns).
        reference: Integers of the second, same grid. What either leaves unlabelled is in no instance.
        spacing: mm along each axis.
        schemes: Of prediction and reference.
        subjects: The files that an error names.

    Raises:
        UserError: A mask holds fractions or a label outside its scheme.
    """
    box = bounding_box((prediction != BACKGROUND) | (reference != BACKGROUND))
    box = box or (slice(0),) * prediction.ndim
    kinds = common_kinds(*schemes)
    there, back = (_to_rows(scheme, kinds) for scheme in schemes)
    rows = there.apply(prediction[box], subjects[0]), back.apply(reference[box], subjects[1])
    ignored = (rows[0] == there.target.ignore_label) | (rows[1] == back.target.ignore_label)
    for side in rows:
        side[ignored] = BACKGROUND
    ours = _split(rows[0], tuple(there.target.anatomies.values()))
    theirs = _split(rows[1], tuple(back.target.anatomies.values()))
    first = [side.start or 0 for side in box]
    return _measure(ours[0], theirs[0], first, spacing, (ours[1], theirs[1]))


def _to_rows(scheme: LabelScheme, kinds: Sequence[Kind]) -> Conversion:
    """From a scheme's integers to rows 1, 2, ...: one per anatomy of these kinds."""
    things = {anatomy for anatomy in scheme.anatomies.values() if family(anatomy.kind) in kinds}
    places = {anatomy: row for row, anatomy in enumerate(sorted(things), start=1)}
    ignore_label = len(places) + 1
    table = {value: places.get(anatomy, BACKGROUND) for value, anatomy in scheme.anatomies.items()}
    marked = {} if scheme.ignore_label is None else {scheme.ignore_label: ignore_label}
    target = LabelScheme("instances", {row: one for one, row in places.items()}, ignore_label)
    return Conversion(scheme, target, {BACKGROUND: BACKGROUND, **table, **marked}, ())


def _split(rows: np.ndarray, anatomies: tuple[Anatomy, ...]) -> tuple[np.ndarray, tuple[Anatomy, ...]]:
    """Gives every connected piece of an anatomy without level a row of its own."""
    import numpy as np

    found = list(anatomies)
    for row, anatomy in enumerate(anatomies, start=1):
        if anatomy.level is None and rows.size:
            import cc3d

            pieces, count = cc3d.connected_components(rows == row, connectivity=26, return_N=True)
            if count > 1:  # the first piece keeps the row
                rows = np.where(pieces > 1, pieces.astype(np.int32) + len(found) - 1, rows)
                found += [anatomy] * (count - 1)
    return rows, tuple(found)


def _measure(
    prediction: np.ndarray,
    reference: np.ndarray,
    first: Sequence[int],
    spacing: Sequence[float],
    anatomies: tuple[tuple[Anatomy, ...], tuple[Anatomy, ...]],
) -> Overlaps:
    """Counts and centroids of rows 1, 2, ...; rows that are not there are left out.

    Args:
        prediction: Rows, (slices, rows, columns), `first` being its first voxel in the image.
        reference: The same, same shape.
        first: Voxel index.
        spacing: mm.
        anatomies: Of the rows of prediction and reference.
    """
    import numpy as np

    sums = _sums(prediction, reference, len(anatomies[0]) + 1, len(anatomies[1]) + 1)
    sides = []
    for axis, names in ((1, anatomies[0]), (0, anatomies[1])):
        voxels, *places = sums.sum(axis=1 + axis)[:, 1:]  # (4, rows)
        shown = np.flatnonzero(voxels)
        middles = np.stack(places, axis=-1)[shown] / voxels[shown, None]  # (shown, 3) voxels
        sides.append((shown, voxels[shown], (middles + first) * spacing, tuple(names[row] for row in shown)))
    (ours, predicted, middles, predictions), (theirs, annotated, true_middles, references) = sides
    shared = sums[0, 1:, 1:][np.ix_(ours, theirs)]
    return Overlaps(predictions, references, shared, predicted, annotated, middles, true_middles)


def _sums(prediction: np.ndarray, reference: np.ndarray, height: int, width: int) -> np.ndarray:
    """Of every pair of rows the number of its voxels and the sums of their indices, (4, height, width).

    Slice by slice, so that no index array of the whole volume is ever held.
    """
    import numpy as np

    size = height * width
    sums = np.zeros((4, size))
    for place, (ours, theirs) in enumerate(zip(prediction, reference, strict=True)):
        where = np.flatnonzero(ours | theirs)  # (n,)
        if where.size:
            pair = ours.ravel()[where].astype(np.intp) * width + theirs.ravel()[where]
            row, column = np.divmod(where, ours.shape[1])
            counts = np.bincount(pair, minlength=size)
            sums[0] += counts
            sums[1] += counts * place
            sums[2] += np.bincount(pair, row, minlength=size)
            sums[3] += np.bincount(pair, column, minlength=size)
    return sums.reshape(4, height, width)


def pair(iou: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """The best one-to-one matching (Hungarian method).

    As many pairs as can be reach the threshold; among those matchings the sum of all IoU is greatest. The sum
    alone would give up a good pair for two poor ones.

    Args:
        iou: (P, R), 0 where a pair is not allowed.
        threshold: IoU from which a pair counts as a detection.

    Returns:
        Places (prediction, reference) with an IoU above 0.
    """
    from scipy.optimize import linear_sum_assignment

    bonus = min(iou.shape, default=0) + 1  # more than all IoU together
    found = linear_sum_assignment(iou + bonus * (iou >= threshold), maximize=True)
    return [(int(p), int(r)) for p, r in zip(*found, strict=True) if iou[p, r] > 0]
