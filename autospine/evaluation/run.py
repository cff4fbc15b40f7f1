"""Scores of folders of predictions against a folder of references."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Literal

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import check_writable, read_json
from autospine.core.machine import workers_for
from autospine.core.overwriting import check_files, check_folders
from autospine.core.parallel import try_cases
from autospine.dataset.cases import patient_and_sequence
from autospine.dataset.class_files import class_scheme, read_labels
from autospine.dataset.metadata import label_table_scheme, read_declaration
from autospine.evaluation.case import CaseScore, evaluate_case
from autospine.evaluation.cohort import SEQUENCE, CaseFiles, Evaluation, complete, strata
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison, method_names
from autospine.evaluation.pairing import References, find_predictions, find_references
from autospine.evaluation.probabilities import read_probabilities
from autospine.evaluation.report.text import save
from autospine.evaluation.spider import SPIDER, ChallengeCase, score_challenge
from autospine.evaluation.structures import common_labels, comparable_schemes
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import PLAIN, get_scheme, infer_scheme, label_voxels, scheme_of_report
from autospine.labels.outliers import outlying_labels
from autospine.labels.schemes import LabelScheme
from autospine.volumes import Volume
from autospine.volumes.folders import volume_id
from autospine.volumes.resampling import onto_grid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluateRequest:
    """What autospine_evaluate is asked.

    Attributes:
        prediction: Predicted mask, or a folder of them.
        reference: Reference mask, a folder of them, or a data set. Cases pair by id, the file name without suffix; two
            single files pair whatever their names.
        against: Masks of other methods to test the prediction against.
        pred_labels: Label scheme of the predictions: a name, a scheme file or a dataset.json. None: what a dataset.json
            beside them says, else the references' scheme if every label fits it, else inferred from the labels.
        ref_labels: The same of the references. None: dataset.json, else inferred from the labels.
        protocol: "spider" adds the figures of SPIDER's own script; labels count as SPIDER's then, unless others are
            named or declared.
        by: Columns to group cases by: "sequence", "vendor" or one of overview.csv. None: by sequence if there are
            several.
        tolerance: Of NSD, in mm.
        resample: Bring predictions on other grids to their references' (nearest neighbour); not with a protocol.
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
    resample: bool = False
    images: Path | None = None
    output: Path | None = None
    workers: int = 0


def evaluate(request: EvaluateRequest) -> MethodComparison:
    """Score predicted masks against references, structure by structure, and write the report where one is asked for.

    Returns:
        The scores. A reference without a prediction scores 0; a case that cannot be read or whose grids
        differ is in `failures`, and the other cases are scored.

    Raises:
        UserError: A folder holds no masks, no case pairs, the schemes share no anatomy, a column to group by is
            unknown, or a table or an option is at fault.
    """
    if not 0 <= request.tolerance < inf:
        raise UserError("--tolerance", f"is {request.tolerance:g} mm", "give a distance of 0 or more")
    if request.resample and request.protocol:
        problem, hint = f"does not go with --protocol {request.protocol}", "its script takes the files as they are"
        raise UserError("--resample", problem, hint)
    references = find_references(request.reference, request.images)
    folders = (request.prediction, *request.against)
    groups = _groups(references, request.by)
    files = [find_predictions(path, references) for path in folders]
    if request.output:
        masks = [path for group in (references.masks, references.images, *files) for path in group.values()]
        check_folders((request.output,), masks)
        schemes = [Path(name) for name in (request.pred_labels, request.ref_labels) if name]
        check_files((request.output / "summary.json",), schemes)
        check_writable(request.output)
    comparison = MethodComparison(
        tuple(
            _score_method(name, path, masks, references, groups, request)
            for name, path, masks in zip(method_names(folders), folders, files, strict=True)
        )
    )
    if request.output:
        save(comparison, request.output, page=True)
    return comparison


@dataclass(frozen=True)
class _CaseJob:
    id: str
    files: CaseFiles
    tolerance_mm: float
    spider: bool
    resample: bool


@dataclass(frozen=True)
class _CaseResult:
    """Scores of a case, or why there are none."""

    case: CaseScore | None = None
    challenge: ChallengeCase | None = None
    failures: tuple[str, ...] = ()


def _score_method(
    name: str,
    path: Path,
    predictions: Mapping[str, Path],
    references: References,
    groups: Mapping[str, Mapping[str, tuple[str, ...]]],
    request: EvaluateRequest,
) -> Evaluation:
    pred_scheme, ref_scheme = comparable_schemes(*_schemes(predictions, references.masks, request))
    common = common_labels(pred_scheme, ref_scheme)
    if not common.rows:
        problem = f"labels ({pred_scheme.name}) share no anatomy with the references' ({ref_scheme.name})"
        raise UserError(path, problem, _hint(pred_scheme, ref_scheme))
    files = {
        id_: CaseFiles(predictions.get(id_), mask, references.images.get(id_), common)
        for id_, mask in references.masks.items()
    }
    jobs = [
        _CaseJob(id_, case_files, request.tolerance, request.protocol == "spider", request.resample)
        for id_, case_files in files.items()
    ]
    workers = workers_for(request.workers)
    scored = try_cases(_score, jobs, list(files), f"scoring {name}", workers, request.output)
    results = [
        _without_score(job, result) if isinstance(result, UserError) else result
        for job, result in zip(jobs, scored, strict=True)
    ]
    cases, unmatched_labels = complete([result.case for result in results if result.case is not None])
    return Evaluation(
        cases=cases,
        pred_scheme=pred_scheme.name,
        ref_scheme=ref_scheme.name,
        unmatched_labels=unmatched_labels,
        extra=tuple(id_ for id_ in predictions if id_ not in references.masks),
        failures=tuple(line for result in results for line in result.failures),
        name=name,
        tolerance_mm=request.tolerance,
        patients=references.patients,
        strata=groups,
        challenge=tuple(result.challenge for result in results if result.challenge is not None),
        files=files,
    )


def _hint(*schemes: LabelScheme) -> str:
    """Return what to do about labels that share no anatomy."""
    kinds = [{anatomy.kind for anatomy in scheme.anatomies.values()} for scheme in schemes]
    if any(Kind.BODY in one and Kind.VERTEBRA in other for one, other in (kinds, kinds[::-1])):
        return "bodies are no whole vertebrae: predict with --labels bodies, or correct --pred-labels and --ref-labels"
    return "check --pred-labels and --ref-labels"


def _groups(references: References, by: tuple[str, ...] | None) -> dict[str, Mapping[str, tuple[str, ...]]]:
    ids = list(references.masks)
    if by is None:
        several = len({patient_and_sequence(id_)[1] for id_ in ids}) > 1
        by = (SEQUENCE,) if several else ()
    return {column: strata(ids, column, references.table, references.table_path) for column in by}


def _schemes(
    predictions: Mapping[str, Path], references: Mapping[str, Path], request: EvaluateRequest
) -> tuple[LabelScheme, LabelScheme]:
    """Fill in the schemes that were not given."""
    usual = SPIDER if request.protocol == "spider" else None
    pred_scheme, ref_scheme = (
        class_scheme(next(iter(files.values())), option if name else None)
        or (_named(name, files, option) if name else _declared(files) or usual)
        for name, files, option in (
            (request.pred_labels, predictions, "--pred-labels"),
            (request.ref_labels, references, "--ref-labels"),
        )
    )
    if pred_scheme is not None and ref_scheme is not None:
        return pred_scheme, ref_scheme
    common = [predictions[id_] for id_ in references if id_ in predictions]
    workers = workers_for(request.workers)
    predicted = _voxels(common, workers) if pred_scheme is None else {}
    annotated = _voxels(list(references.values()), workers) if ref_scheme is None else {}
    if ref_scheme is None:
        ref_scheme = infer_scheme(_labels({**predicted, **annotated}))
    if pred_scheme is None:
        fits = _labels(predicted) - {0, ref_scheme.ignore_label} <= set(ref_scheme.anatomies)
        pred_scheme = ref_scheme if fits else infer_scheme(_labels(predicted))
    if PLAIN in (pred_scheme.name, ref_scheme.name):
        for line in outlying_labels({**predicted, **annotated}, "name the labels with --pred-labels and --ref-labels"):
            log.warning("%s", line)
    return pred_scheme, ref_scheme


def _labels(voxels: Mapping[str, Mapping[int, int]]) -> set[int]:
    return {label for in_one in voxels.values() for label in in_one}


def _declared(files: Mapping[str, Path]) -> LabelScheme | None:
    """Return what a dataset.json in the folder, or in the one above, says, else a report or the mask's label table."""
    first = next(iter(files.values()))
    for folder in (first.parent, first.parent.parent):
        if (folder / "dataset.json").is_file():
            return read_declaration(folder / "dataset.json").scheme
    report = _report_of(first)
    return scheme_of_report(report, f"the report of {first.name}") if report else label_table_scheme(first)


def _report_of(mask: Path) -> Mapping[str, object]:
    """Return what autospine_predict says of a mask that it made; empty for another tool's."""
    path = mask.parent / f"{volume_id(mask)}.json"
    try:
        content = read_json(path) if path.is_file() else None
    except UserError:  # a file that happens to have this name
        return {}
    return content if isinstance(content, dict) and "autospine" in content else {}


def _named(name: str, files: Mapping[str, Path], option: str) -> LabelScheme:
    """Return the scheme of an option, and warn where the masks' own label table tells another one."""
    scheme, first = get_scheme(name), next(iter(files.values()))
    in_table = label_table_scheme(first)
    if in_table is not None and dict(in_table.anatomies) != dict(scheme.anatomies):
        log.warning("%s: its label table tells %s, %s says %s; that is used", first, in_table.name, option, scheme.name)
    return scheme


def _voxels(paths: Sequence[Path], workers: int) -> dict[str, dict[int, int]]:
    """Return the voxels of every label, by file; unreadable masks are reported later, when they are scored."""
    results = try_cases(_voxels_in, paths, [path.name for path in paths], "reading labels", workers)
    both = zip(paths, results, strict=True)
    return {str(path): voxels for path, voxels in both if not isinstance(voxels, UserError)}


def _voxels_in(path: Path) -> dict[int, int]:
    return label_voxels(read_labels(path).array, path)


def _without_score(job: _CaseJob, error: UserError) -> _CaseResult:
    challenge = ChallengeCase(job.id, None, problem=str(error)) if job.spider else None
    return _CaseResult(challenge=challenge, failures=(str(error),))


def _score(job: _CaseJob) -> _CaseResult:
    """Read both masks once and score them both ways; either may fail by itself."""
    files, (pred_scheme, ref_scheme) = job.files, job.files.common.schemes
    reference = read_labels(files.reference, ref_scheme.negative)
    prediction = None if files.prediction is None else read_labels(files.prediction, pred_scheme.negative)
    case, challenge, failures = None, None, []
    try:
        case = _score_volumes(job, prediction, reference)
    except UserError as error:
        failures.append(str(error))
    if job.spider:
        challenge = score_challenge(job.id, prediction, reference, *job.files.common.schemes)
        failures += [challenge.problem] if challenge.problem and not failures else []
    return _CaseResult(case, challenge, tuple(failures))


def _score_volumes(job: _CaseJob, prediction: Volume | None, reference: Volume) -> CaseScore:
    files, probabilities = job.files, None
    other_grid = prediction is not None and prediction.grid_difference(reference)
    if prediction is not None and other_grid:
        if not job.resample:
            problem = f"lies on another grid than {files.reference}: {other_grid}"
            hint = "bring it to the reference's grid, or give --resample (nearest neighbour)"
            raise UserError(str(files.prediction), problem, hint)
        prediction = _resampled(prediction, reference)
    elif files.prediction is not None:
        probabilities = read_probabilities(files.prediction)
    predicted = np.zeros_like(reference.array) if prediction is None else prediction.array
    sources = files.prediction or files.reference, files.reference
    pair = MaskPair(predicted, reference.array, reference.spacing, files.common.schemes, sources)
    score = evaluate_case(job.id, pair, job.tolerance_mm, probabilities, prediction is None)
    report = {} if files.prediction is None else _report_of(files.prediction)
    ambiguous = str(report["ambiguous"]) if "ambiguous" in report else None
    confidences = _confidences(report)
    return replace(score, ambiguous=ambiguous, confidences=confidences, resampled=bool(other_grid))


def _confidences(report: Mapping[str, object]) -> dict[Anatomy, float]:
    """Return what a report of autospine_predict says of its labels; empty where it does not fit the form."""
    labels = report.get("labels")
    try:
        return {Anatomy.parse(one["anatomy"]): float(one["confidence"]) for one in labels or ()}  # type: ignore[attr-defined]
    except (UserError, TypeError, KeyError, ValueError):
        return {}


def _resampled(prediction: Volume, reference: Volume) -> Volume:
    resampled = onto_grid(prediction, reference)
    if prediction.array.any() and not resampled.array.any():
        problem, hint = f"lies outside of {reference.path}", "check that both are of one scan"
        raise UserError(prediction.path or "prediction", problem, hint)
    return resampled
