"""Where annotation stops before the image does: what is predicted above it is an error of nobody.

Training takes the same view (`labels.encoding`): with more image above the topmost annotated vertebra
than a vertebra needs, nobody annotated there. The scores that count it as false positives are kept beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import LOOKUP_LIMIT
from autospine.labels.encoding import PARTIAL_ABOVE
from autospine.labels.schemes import LabelScheme

LEVELLED = (
    *(Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA, Kind.BODY, Kind.POSTERIOR_ELEMENTS),
    *(Kind.DISC, Kind.LAMINA, Kind.FORAMEN),
)
RUNNING_ON = (Kind.CANAL, Kind.CORD)
HIGHER = 0.25  # of the distance of neighbours: so much above the topmost annotated centre, and it is another structure
MOSTLY = 0.5  # of a predicted structure: so much of it on annotated ones, and it is one of them


@dataclass(frozen=True)
class AboveAnnotation:
    """A prediction without what it shows above the annotation, and what that was."""

    prediction: np.ndarray
    left_out: tuple[Anatomy, ...]


def leave_out_above(
    prediction: np.ndarray, reference: np.ndarray, schemes: tuple[LabelScheme, LabelScheme]
) -> AboveAnnotation:
    """Leave out the levelled structures of a prediction whose centre lies above the topmost annotated one's.

    Of the canal and the cord, which run on, the part above everything annotated is left out, as training ignores it.

    Args:
        prediction: Labels, (slices, rows, columns).
        reference: Labels on the same grid.
        schemes: Of the prediction and of the reference.

    Returns:
        The prediction itself where the annotation reaches the top of the image, or shows no two neighbours.
    """
    annotated = _structures(reference, schemes[1])
    distance = _distance(annotated, schemes[1].anatomies)
    if not distance:
        return AboveAnnotation(prediction, ())
    top = min(structure.row for structure in annotated.values())
    if top + 0.5 <= PARTIAL_ABOVE * distance:
        return AboveAnnotation(prediction, ())
    left_out, trimmed = [], prediction
    for value, structure in _structures(prediction, schemes[0]).items():
        shown = prediction[structure.box] == value
        on_annotated = np.isin(reference[structure.box][shown], list(annotated)).mean()
        if structure.row < top - HIGHER * distance and on_annotated < MOSTLY:
            trimmed = prediction.copy() if trimmed is prediction else trimmed
            trimmed[structure.box][shown] = 0
            left_out.append(schemes[0].anatomies[value])
    first = int(np.isin(reference, list(schemes[1].anatomies)).any(axis=(0, 2)).argmax())  # annotated row
    for value, anatomy in schemes[0].anatomies.items():
        beyond = prediction[:, :first] == value if anatomy.kind in RUNNING_ON else np.zeros(0, bool)
        if beyond.any():
            trimmed = prediction.copy() if trimmed is prediction else trimmed
            trimmed[:, :first][beyond] = 0
            left_out.append(anatomy)
    return AboveAnnotation(trimmed, tuple(sorted(left_out)))


@dataclass(frozen=True)
class _Structure:
    """Where a levelled structure lies: its box, and the row of its centroid."""

    box: tuple[slice, ...]
    row: float


def _structures(mask: np.ndarray, scheme: LabelScheme) -> dict[int, _Structure]:
    """Return the levelled structures that a mask shows, by label."""
    from scipy.ndimage import find_objects

    values = [
        v
        for v, anatomy in scheme.anatomies.items()
        if anatomy.kind in LEVELLED and anatomy.level and 0 < v < LOOKUP_LIMIT
    ]
    boxes = find_objects(mask, max(values)) if values else []
    return {value: _structure(mask, value, boxes[value - 1]) for value in values if boxes[value - 1] is not None}


def _structure(mask: np.ndarray, value: int, box: tuple[slice, ...]) -> _Structure:
    voxels = (mask[box] == value).sum(axis=(0, 2))  # (rows,)
    return _Structure(box, box[1].start + float(np.average(np.arange(voxels.size), weights=voxels)))


def _distance(annotated: Mapping[int, _Structure], anatomies: Mapping[int, Anatomy]) -> float:
    """Return the median distance in rows between the centres of neighbours; 0 without any."""
    rows: dict[Kind, dict[int, float]] = {}
    for value, structure in annotated.items():
        rows.setdefault(anatomies[value].kind, {})[anatomies[value].level or 0] = structure.row
    distances = [
        abs(kind[high] - kind[low]) for kind in rows.values() for low, high in pairwise(sorted(kind)) if high - low == 1
    ]
    return float(np.median(distances)) if distances else 0.0
