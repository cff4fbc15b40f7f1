"""Where annotation stops before the image does: what is predicted above it is an error of nobody.

Training takes the same view (`labels.encoding`): with more image above the topmost annotated vertebra
than a vertebra needs, nobody annotated there. The scores that count it as false positives are kept beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import LOOKUP_LIMIT
from autospine.labels.encoding import PARTIAL_ABOVE
from autospine.labels.schemes import LabelScheme

LEVELLED = (Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA, Kind.BODY, Kind.DISC, Kind.LAMINA, Kind.FORAMEN)
MOSTLY = 0.5  # of a predicted structure: so much of it above the annotation, and it is left out there


@dataclass(frozen=True)
class AboveAnnotation:
    """A prediction without what it shows above the annotation, and what that was."""

    prediction: np.ndarray
    left_out: tuple[Anatomy, ...]


def leave_out_above(
    prediction: np.ndarray, reference: np.ndarray, row_mm: float, schemes: tuple[LabelScheme, LabelScheme]
) -> AboveAnnotation:
    """Leave out the levelled structures of a prediction that lie mostly above the topmost annotated one.

    Args:
        prediction: Labels, (slices, rows, columns).
        reference: Labels on the same grid.
        row_mm: Height of a row.
        schemes: Of the prediction and of the reference.

    Returns:
        The prediction itself where the annotation reaches the top of the image, or shows fewer than two neighbours.
    """
    top = _first_unannotated(_boxes(reference, schemes[1]), row_mm, schemes[1].anatomies)
    left_out, trimmed = [], prediction
    for value, box in _boxes(prediction, schemes[0]).items():
        if box[1].start >= top:
            continue
        shown = prediction[box] == value
        above = shown[:, : top - box[1].start]
        if above.sum() >= MOSTLY * shown.sum():
            trimmed = prediction.copy() if trimmed is prediction else trimmed
            trimmed[box][:, : top - box[1].start][above] = 0
            left_out.append(schemes[0].anatomies[value])
    return AboveAnnotation(trimmed, tuple(sorted(left_out)))


def _boxes(mask: np.ndarray, scheme: LabelScheme) -> dict[int, tuple[slice, ...]]:
    """Return the box of each levelled structure that a mask shows."""
    from scipy.ndimage import find_objects

    values = [v for v, one in scheme.anatomies.items() if one.kind in LEVELLED and one.level and 0 < v < LOOKUP_LIMIT]
    found = find_objects(mask, max(values)) if values else []
    return {value: found[value - 1] for value in values if found[value - 1] is not None}


def _first_unannotated(boxes: Mapping[int, Sequence[slice]], row_mm: float, anatomies: Mapping[int, Anatomy]) -> int:
    """Return the row above which nobody annotated; 0 where the annotation reaches the top of the image."""
    centres: dict[Kind, dict[int, float]] = {}
    for value, box in boxes.items():
        one = anatomies[value]
        centres.setdefault(one.kind, {})[one.level or 0] = (box[1].start + box[1].stop) / 2 * row_mm
    distances = [
        abs(kind[high] - kind[low])
        for kind in centres.values()
        for low, high in pairwise(sorted(kind))
        if high - low == 1
    ]
    if not distances:
        return 0
    room_mm = min(centre for kind in centres.values() for centre in kind.values())
    return min(box[1].start for box in boxes.values()) if room_mm > PARTIAL_ABOVE * float(np.median(distances)) else 0
