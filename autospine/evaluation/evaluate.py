"""autospine_evaluate as one call: predictions and references in, the comparison out, its report on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autospine.core.files import check_writable
from autospine.core.machine import workers_for
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.text import save
from autospine.evaluation.run import EvaluationSettings, score_methods
from autospine.labels.conversion import get_scheme


@dataclass(frozen=True)
class EvaluateRequest:
    """What autospine_evaluate is asked.

    Attributes:
        prediction: Predicted mask, or a folder of them.
        reference: Reference mask, a folder of them, or a data set; cases pair by name.
        against: Masks of other methods to test the prediction against.
        pred_labels: Label scheme of the predictions: a name, a scheme file or a dataset.json; None finds out.
        ref_labels: The same of the references.
        protocol: "spider" adds the figures of SPIDER's own script.
        by: Columns to group cases by; None groups by sequence if there are several.
        tolerance: Of NSD, in mm.
        images: Folder of the scans, for pictures; None takes the data set's.
        output: Folder for report.html, tables and summary.json; None writes nothing.
        workers: Processes at once; 0 is one per core.
    """

    prediction: Path
    reference: Path
    against: tuple[Path, ...] = ()
    pred_labels: str | None = None
    ref_labels: str | None = None
    protocol: Literal["spider"] | None = None
    by: tuple[str, ...] | None = None
    tolerance: float = 1.0
    images: Path | None = None
    output: Path | None = None
    workers: int = 0


def evaluate(request: EvaluateRequest) -> MethodComparison:
    """Score predicted masks against references, structure by structure, and write the report where one is asked for.

    Returns:
        The scores; a case that could not be scored is in `failures`.

    Raises:
        UserError: A folder holds no masks, no case pairs, the schemes share no anatomy, or an option is at fault.
    """
    settings = EvaluationSettings(
        pred_scheme=get_scheme(request.pred_labels) if request.pred_labels else None,
        ref_scheme=get_scheme(request.ref_labels) if request.ref_labels else None,
        tolerance_mm=request.tolerance,
        by=request.by,
        images=request.images,
        spider=request.protocol == "spider",
        workers=workers_for(request.workers),
    )
    if request.output:
        check_writable(request.output)
    comparison = score_methods([request.prediction, *request.against], request.reference, settings)
    if request.output:
        save(comparison, request.output, page=True)
    return comparison
