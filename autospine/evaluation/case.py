"""Everything that is scored of one case, from its two masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.evaluation.cohort import CaseScore
from autospine.evaluation.comparison import Comparison, compare
from autospine.evaluation.instances import score_instances
from autospine.evaluation.probabilities import Probabilities, case_log_loss
from autospine.evaluation.structures import NAN, TOLERANCE_MM, score_masks
from autospine.labels.anatomy import Anatomy
from autospine.labels.conversion import present_labels
from autospine.labels.schemes import LabelScheme

if TYPE_CHECKING:
    import numpy as np


def evaluate_case(
    id_: str,
    prediction: np.ndarray | None,
    reference: np.ndarray,
    spacing: Sequence[float],
    schemes: tuple[LabelScheme, LabelScheme],
    subjects: tuple[str | Path, str | Path] = ("prediction", "reference"),
    tolerance_mm: float = TOLERANCE_MM,
    probabilities: Probabilities | None = None,
) -> CaseScore:
    """Scores structures and instances of one case.

    Args:
        id_: The case.
        prediction: Integers, (slices, rows, columns); None if there is none: everything scores 0.
        reference: The same grid.
        spacing: mm along each axis.
        schemes: Labels of the prediction and of the reference.
        subjects: The files that an error names.
        tolerance_mm: For NSD.
        probabilities: The prediction's, for the log loss.

    Raises:
        UserError: A mask holds a label outside its scheme.
    """
    import numpy as np

    comparison = compare(*schemes)
    predicted = np.zeros_like(reference) if prediction is None else prediction
    scores = score_masks(predicted, reference, spacing, comparison, subjects, tolerance_mm, probabilities)
    if prediction is None:  # background that nobody predicted is not right either
        scores = [replace(score, accuracy=0.0) for score in scores]
    return CaseScore(
        id=id_,
        scores=tuple(scores),
        missing=prediction is None,
        beyond=_beyond(predicted, reference, comparison),
        instances=score_instances(predicted, reference, spacing, *schemes, subjects),
        log_loss=case_log_loss(probabilities, reference, schemes[1]) if probabilities else NAN,
    )


def _beyond(prediction: np.ndarray, reference: np.ndarray, comparison: Comparison) -> dict[str, tuple[Anatomy, ...]]:
    sides = {
        "prediction": (prediction, comparison.prediction),
        "reference": (reference, comparison.reference),
    }
    return {side: _shown(mask, there.lost, there.source) for side, (mask, there) in sides.items()}


def _shown(mask: np.ndarray, lost: Sequence[Anatomy], scheme: LabelScheme) -> tuple[Anatomy, ...]:
    if not lost:
        return ()
    found = {scheme.anatomies[label] for label in present_labels(mask) if label in scheme.anatomies}
    return tuple(sorted(found & set(lost)))
