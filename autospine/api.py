"""What each command does, as one call: the arguments are the fields of the command's request, by position or by name.

Text is taken for a path, and a list or a single thing for a tuple, where the request holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import getdoc, signature
from pathlib import Path
from types import UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from autospine.ablation.run import AblateRequest
from autospine.ablation.run import ablate as run_ablation
from autospine.cleaning.run import CleanRequest, clean_all
from autospine.ensemble.run import EnsembleRequest
from autospine.ensemble.run import make_ensemble as run_ensemble
from autospine.evaluation.run import EvaluateRequest
from autospine.evaluation.run import evaluate as run_evaluation
from autospine.inference.predict import predict
from autospine.inference.run import PredictRequest
from autospine.inference.run import predict_scans as run_prediction
from autospine.inference.segmentation import Segmentation
from autospine.measurement.run import MeasureRequest, measure_all
from autospine.phantom.write import write_phantom
from autospine.planning.run import PlanRequest, make_plans
from autospine.reconstruction.run import ReconstructRequest, reconstruct_all
from autospine.sharing.export import ExportRequest
from autospine.sharing.export import export as run_export
from autospine.sharing.manage import ModelsRequest
from autospine.sharing.manage import manage_models as run_models
from autospine.slices.extract import SlicesRequest
from autospine.slices.run import extract_slices as run_slices
from autospine.training.run import TrainRequest
from autospine.training.run import train as run_training

P = ParamSpec("P")
Request = TypeVar("Request", bound=Any)
Result = TypeVar("Result")
RAISES = """Raises:
    UserError: What is asked cannot be done; its text names the file or option, the problem and what helps."""

__all__ = ["Segmentation", "predict", "write_phantom"]


def _call(
    name: str, summary: str, request: Callable[P, Request], run: Callable[[Request], Result]
) -> Callable[P, Result]:
    """Return `run` as a function of its request's fields, with a summary and their documentation."""
    types = get_type_hints(request)
    _, _, arguments = str(getdoc(request)).partition("Attributes:\n")

    def call(*args: P.args, **options: P.kwargs) -> Result:
        asked = request(*args, **options)
        return run(replace(asked, **{name: _as(kind, getattr(asked, name)) for name, kind in types.items()}))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{summary}\n\nArgs:\n{arguments}\n\n{RAISES}"
    returned = signature(run).return_annotation
    call.__signature__ = signature(request).replace(return_annotation=returned)  # type: ignore[attr-defined]
    return call


def _as(kind: Any, value: Any) -> Any:
    """Return a value as a field of that type holds it."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if value is None:
        return None
    if Path in kinds and isinstance(value, (str, Path)):
        return Path(value)
    for member in kinds:
        if get_origin(member) is tuple:
            items = (value,) if isinstance(value, (str, Path)) else value
            return tuple(Path(item) if Path in get_args(member) else item for item in items)
    return value


manage_models = _call("manage_models", "List, show, check, install or remove models.", ModelsRequest, run_models)
export = _call("export", "Write a trained model as a zip that others can install.", ExportRequest, run_export)
plan = _call("plan", "Verify, plan with reasons, split and preprocess a data set.", PlanRequest, make_plans)
train = _call("train", "Train and validate a network; return the scores as text.", TrainRequest, run_training)
ablate = _call("ablate", "Train a paper's variants; return its tables as text.", AblateRequest, run_ablation)
make_ensemble = _call("make_ensemble", "Combine models; return their weights as text.", EnsembleRequest, run_ensemble)
predict_scans = _call("predict_scans", "Segment scans; masks and reports are written.", PredictRequest, run_prediction)
evaluate = _call("evaluate", "Score predicted masks against reference masks.", EvaluateRequest, run_evaluation)
measure = _call("measure", "Measure masks, level by level; tables, pictures, page.", MeasureRequest, measure_all)
reconstruct = _call("reconstruct", "Interpolate slices of scans and masks.", ReconstructRequest, reconstruct_all)
clean = _call("clean", "Clean masks of what is plainly wrong, or by a paper's rules.", CleanRequest, clean_all)
extract_slices = _call("extract_slices", "Write the slices of a data set as PNG pairs.", SlicesRequest, run_slices)
