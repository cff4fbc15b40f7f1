"""SPIDER's own evaluation script, rule for rule, whatever one may think of the rules.

The challenge (van der Graaf et al. 2024, grand-challenge.org) publishes figures made this way, so figures that are
to stand beside them have to be made this way too:

1. Each reference label is compared with the foreground label that overlaps it most (ties: the lowest), whatever
   its kind; a predicted label may serve several reference labels, and one that serves none costs nothing.
2. A structure is detected from a Dice of 0.1. Vertebra (1 to 99) and disc (above 200) Dice are means over the
   detected ones, the overall Dice over all; 101 to 200 enter the overall figures only.
3. Surface distance: the mean over both borders' voxels together. A border is the mask without its erosion by
   3 x 3 x 3. The spacing is given in x, y, z order to an array in z, y, x order.
4. Without any overlap the distance is NaN, and so is every mean of the case that it enters.
5. No canal in the reference: 999. No vertebra or no disc: the script dies of a division by zero.
6. Over cases: mean and standard deviation (n - 1); NaN is skipped, 999 is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from math import isnan
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from autospine.core.errors import UserError
from autospine.metrics.surface import bounding_box

if TYPE_CHECKING:
    import numpy as np

NAN = float("nan")
CANAL, NO_CANAL = 100, 999.0
DETECTED_FROM = 0.1
KEYS = {
    "dice_vertebrae": "DiceScoreVertebrae",
    "dice_discs": "DiceScoreDiscs",
    "dice_canal": "DiceScoreSpinalCanal",
    "dice_overall": "OveralDiceScore",
    "detection_vertebrae": "DetectionRateVertebrae",
    "detection_discs": "DetectionRateDiscs",
    "asd_vertebrae_mm": "ASDVertebrae",
    "asd_discs_mm": "ASDDiscs",
    "asd_canal_mm": "ASDSpinalCanal",
    "asd_overall_mm": "OveralASD",
}


@dataclass(frozen=True)
class ChallengeScore:
    """What the script says about one case; `KEYS` has its names for the fields.

    Attributes:
        dice_vertebrae: Mean over detected vertebrae, 0.1 to 1; NaN if none is detected.
        dice_discs: The same of discs.
        dice_canal: 0 to 1; 999 without a canal in the reference.
        dice_overall: Mean over every reference label, 0 to 1.
        detection_vertebrae: Share of the reference's vertebrae whose Dice is 0.1 or more.
        detection_discs: The same of discs.
        asd_vertebrae_mm: Mean surface distance; NaN if any vertebra has no overlap.
        asd_discs_mm: The same of discs.
        asd_canal_mm: Of the canal; 999 without one in the reference.
        asd_overall_mm: Mean over every reference label.
    """

    dice_vertebrae: float
    dice_discs: float
    dice_canal: float
    dice_overall: float
    detection_vertebrae: float
    detection_discs: float
    asd_vertebrae_mm: float
    asd_discs_mm: float
    asd_canal_mm: float
    asd_overall_mm: float


FIELDS = tuple(field.name for field in fields(ChallengeScore))


@dataclass(frozen=True)
class Match:
    """A reference label and the predicted label that the script takes for it.

    Attributes:
        reference: The reference's integer.
        prediction: The prediction's, 0 where nothing overlaps.
        dice: Of both, 0 to 1.
        asd_mm: Mean distance with the script's order of the spacing; NaN without overlap.
        asd_right_mm: The same with the right order.
    """

    reference: int
    prediction: int
    dice: float
    asd_mm: float
    asd_right_mm: float

    @property
    def detected(self) -> bool:
        """Whether the script counts it as found."""
        return self.dice >= DETECTED_FROM


def match_labels(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> tuple[Match, ...]:
    """Finds for every reference label what the script compares it with.

    Args:
        prediction: Integers, (z, y, x) as in the file.
        reference: The same, same shape.
        spacing: The reference's, mm along x, y and z.

    Returns:
        One match per label of the reference, ascending.
    """
    import numpy as np

    wrong, right = tuple(spacing), tuple(reversed(spacing))
    matches = []
    for label in np.unique(reference[reference != 0]):
        part = reference == label
        inside = prediction[part]
        values, overlaps = np.unique(inside[inside != 0], return_counts=True)  # ascending: ties go to the lowest
        if values.size == 0:
            matches.append(Match(int(label), 0, 0.0, NAN, NAN))
            continue
        best = int(overlaps.argmax())
        other = prediction == values[best]
        dice = float(2 * overlaps[best] / (part.sum() + other.sum()))
        asd = surface_distance(other, part, wrong)
        asd_right = asd if wrong == right else surface_distance(other, part, right)
        matches.append(Match(int(label), int(values[best]), dice, asd, asd_right))
    return tuple(matches)


def surface_distance(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> float:
    """Mean distance in mm over the border voxels of both masks together.

    Args:
        one: Boolean, three axes, not empty.
        other: The same, same shape.
        spacing: What the distance transform is given along each axis.
    """
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    box = bounding_box(one | other)
    borders = [_border(mask[box]) for mask in (one, other)]
    apart = [distance_transform_edt(~border, sampling=spacing) for border in borders]
    return float(np.concatenate([apart[1][borders[0]], apart[0][borders[1]]]).mean())


def _border(mask: np.ndarray) -> np.ndarray:
    """Voxels with a neighbour, of 26, outside the mask or outside the array."""
    import numpy as np
    from scipy.ndimage import binary_erosion

    return np.asarray(mask ^ binary_erosion(mask, np.ones((3, 3, 3))))


def official_score(matches: Sequence[Match], where: str | Path = "reference") -> ChallengeScore:
    """The script's figures of one case.

    Args:
        matches: Of `match_labels`.
        where: The file that an error names.

    Raises:
        UserError: The reference has no vertebra or no disc: the script dies there.
    """
    vertebrae = [match for match in matches if match.reference < CANAL]
    discs = [match for match in matches if match.reference > 200]
    for found, what in ((vertebrae, "vertebra (1 to 99)"), (discs, "disc (above 200)")):
        if not found:
            problem = f"has no {what}, and SPIDER's script divides by their number"
            raise UserError(where, problem, "leave the case out, or score without --protocol spider")
    canal = next((match for match in matches if match.reference == CANAL), None)
    return ChallengeScore(
        dice_vertebrae=_mean(match.dice for match in vertebrae if match.detected),
        dice_discs=_mean(match.dice for match in discs if match.detected),
        dice_canal=NO_CANAL if canal is None else canal.dice,
        dice_overall=_mean(match.dice for match in matches),
        detection_vertebrae=_detected(vertebrae),
        detection_discs=_detected(discs),
        asd_vertebrae_mm=_mean(match.asd_mm for match in vertebrae),
        asd_discs_mm=_mean(match.asd_mm for match in discs),
        asd_canal_mm=NO_CANAL if canal is None else canal.asd_mm,
        asd_overall_mm=_mean(match.asd_mm for match in matches),
    )


def _mean(values: Iterable[float]) -> float:
    """NaN of nothing, and of anything with a NaN."""
    found = list(values)
    return sum(found) / len(found) if found else NAN


def _detected(matches: Sequence[Match]) -> float:
    return sum(match.detected for match in matches) / len(matches)


def aggregate(scores: Sequence[ChallengeScore]) -> tuple[ChallengeScore, ChallengeScore]:
    """Mean and standard deviation (n - 1) over cases; NaN is skipped, 999 enters."""
    return _over(scores, mean, 1), _over(scores, stdev, 2)


def _over(scores: Sequence[ChallengeScore], figure: Callable[[list[float]], float], fewest: int) -> ChallengeScore:
    columns = {name: [getattr(score, name) for score in scores] for name in FIELDS}
    known = {name: [value for value in column if not isnan(value)] for name, column in columns.items()}
    return ChallengeScore(**{name: figure(values) if len(values) >= fewest else NAN for name, values in known.items()})
