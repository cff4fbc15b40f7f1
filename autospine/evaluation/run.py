"""Scores folders of predictions against a folder of references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.dataset.cases import patient_and_sequence
from autospine.evaluation.case import evaluate_case
from autospine.evaluation.cohort import (
    CaseFiles,
    CaseScore,
    Evaluation,
    LabelSummary,
    OneSided,
    complete,
)
from autospine.evaluation.comparison import compare
from autospine.evaluation.pairing import References, find_predictions, find_references
from autospine.evaluation.probabilities import read_probabilities
from autospine.evaluation.protocol import SPIDER, ChallengeCase, score_challenge
from autospine.evaluation.strata import strata
from autospine.evaluation.structures import TOLERANCE_MM, LabelScore, score_case
from autospine.evaluation.study import MethodComparison
from autospine.evaluation.systems import system_names
from autospine.labels.conversion import infer_scheme, present_labels
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.volumes.folders import volume_id

if TYPE_CHECKING:
    from autospine.volumes import Volume

__all__ = [
    "CaseScore",
    "Evaluation",
    "LabelScore",
    "LabelSummary",
    "OneSided",
    "Settings",
    "score_case",
    "score_folder",
    "score_systems",
]
SEQUENCE = "sequence"
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Settings:
    """How folders are scored.

    Attributes:
        pred_scheme: Labels of the predictions. None: what a dataset.json beside them says, else the
            references' scheme if every value fits it, else inferred from the values.
        ref_scheme: Labels of the references. None: dataset.json, else inferred from the values.
        tolerance_mm: Within which a surface counts as right in NSD.
        by: Columns to group cases by: "sequence", "vendor" or one of overview.csv. None: by sequence if there
            are several.
        images: Folder of the scans, for pictures. None: the data set's own.
        spider: Score by SPIDER's own protocol too; labels count as SPIDER's then unless something else is said.
        workers: Processes at once.
    """

    pred_scheme: LabelScheme | None = None
    ref_scheme: LabelScheme | None = None
    tolerance_mm: float = TOLERANCE_MM
    by: tuple[str, ...] | None = None
    images: Path | None = None
    spider: bool = False
    workers: int = 1


def score_folder(
    prediction: str | Path,
    reference: str | Path,
    pred_scheme: LabelScheme | None = None,
    ref_scheme: LabelScheme | None = None,
    workers: int = 1,
) -> Evaluation:
    """Scores every case of a folder; `score_systems` for one system and the usual settings.

    Args:
        prediction: A mask, or a folder of them.
        reference: A mask, a folder of them, or a data set with `masks/`. Cases pair by id, the file name
            without suffix; two single files pair whatever their names.
        pred_scheme: Labels of the predictions, see `Settings`.
        ref_scheme: Labels of the references, see `Settings`.
        workers: Processes at once.

    Returns:
        The scores. A reference without a prediction scores 0; a case that cannot be read or whose grids
        differ is in `failures`, and the other cases are scored.

    Raises:
        UserError: A folder holds no masks, no case pairs, or the schemes share no anatomy.
    """
    settings = Settings(pred_scheme, ref_scheme, workers=workers)
    return score_systems([prediction], reference, settings).first


def score_systems(
    predictions: Sequence[str | Path], reference: str | Path, settings: Settings | None = None
) -> MethodComparison:
    """Scores one or several folders of predictions against the same references.

    Args:
        predictions: A mask or a folder of masks per system.
        reference: As for `score_folder`.
        settings: How.

    Raises:
        UserError: As for `score_folder`; or a column to group by is unknown, or a table is at fault.
    """
    settings = settings or Settings()
    if not 0 <= settings.tolerance_mm < inf:
        raise UserError("--tolerance", f"is {settings.tolerance_mm:g} mm", "give a distance of 0 or more")
    references = find_references(reference, settings.images)
    names = system_names(predictions)
    groups = _groups(references, settings.by)
    found = [find_predictions(place, references) for place in predictions]
    return MethodComparison(
        tuple(
            _score_system(name, Path(place), files, references, groups, settings)
            for name, place, files in zip(names, predictions, found, strict=True)
        )
    )


@dataclass(frozen=True)
class _Job:
    id: str
    files: CaseFiles
    tolerance_mm: float
    spider: bool


@dataclass(frozen=True)
class _Answer:
    """What came of a case."""

    case: CaseScore | None = None
    official: ChallengeCase | None = None
    failures: tuple[str, ...] = ()


def _score_system(
    name: str,
    place: Path,
    predictions: Mapping[str, Path],
    references: References,
    groups: Mapping[str, Mapping[str, tuple[str, ...]]],
    settings: Settings,
) -> Evaluation:
    pred_scheme, ref_scheme = _schemes(predictions, references.masks, settings)
    comparison = compare(pred_scheme, ref_scheme)
    if not comparison.rows:
        problem = f"labels ({pred_scheme.name}) share no anatomy with the references' ({ref_scheme.name})"
        raise UserError(place, problem, "check --pred-labels and --ref-labels")
    files = {
        id_: CaseFiles(predictions.get(id_), path, references.images.get(id_), comparison)
        for id_, path in references.masks.items()
    }
    jobs = [_Job(id_, each, settings.tolerance_mm, settings.spider) for id_, each in files.items()]
    answers = _run(_score, jobs, [job.id for job in jobs], f"scoring {name}", settings.workers)
    cases, one_sided = complete([answer.case for answer in answers if answer.case is not None])
    return Evaluation(
        cases=cases,
        pred_scheme=pred_scheme.name,
        ref_scheme=ref_scheme.name,
        one_sided=one_sided,
        extra=tuple(id_ for id_ in predictions if id_ not in references.masks),
        failures=tuple(line for answer in answers for line in answer.failures),
        name=name,
        tolerance_mm=settings.tolerance_mm,
        patients=references.patients,
        strata=groups,
        official=tuple(answer.official for answer in answers if answer.official is not None),
        files=files,
    )


def _groups(references: References, by: tuple[str, ...] | None) -> dict[str, Mapping[str, tuple[str, ...]]]:
    ids = list(references.masks)
    if by is None:
        several = len({patient_and_sequence(id_)[1] for id_ in ids}) > 1
        by = (SEQUENCE,) if several else ()
    return {column: strata(ids, column, references.table, references.table_path) for column in by}


def _schemes(
    predictions: Mapping[str, Path], references: Mapping[str, Path], settings: Settings
) -> tuple[LabelScheme, LabelScheme]:
    """Fills in the schemes that were not given."""
    usual = SPIDER if settings.spider else None
    pred_scheme = settings.pred_scheme or _declared(predictions) or usual
    ref_scheme = settings.ref_scheme or _declared(references) or usual
    if pred_scheme is not None and ref_scheme is not None:
        return pred_scheme, ref_scheme
    common = [predictions[id_] for id_ in references if id_ in predictions]
    ours = _values(common, settings.workers) if pred_scheme is None else set()
    theirs = _values(list(references.values()), settings.workers) if ref_scheme is None else set()
    if ref_scheme is None:
        ref_scheme = infer_scheme(ours | theirs)
    if pred_scheme is None:
        fits = ours - {0, ref_scheme.ignore_label} <= set(ref_scheme.anatomies)
        pred_scheme = ref_scheme if fits else infer_scheme(ours)
    return pred_scheme, ref_scheme


def _declared(files: Mapping[str, Path]) -> LabelScheme | None:
    """What a dataset.json in the folder, or in the one above, says, else a report of autospine_predict."""
    from autospine.dataset.metadata import read_declaration

    first = next(iter(files.values()))
    for place in (first.parent, first.parent.parent):
        if (place / "dataset.json").is_file():
            return read_declaration(place / "dataset.json").scheme
    report = first.parent / f"{volume_id(first)}.json"
    said = read_json(report) if report.is_file() else None
    if not isinstance(said, dict) or "autospine" not in said:  # another tool's
        return None
    return SCHEMES.get(said.get("scheme", ""))


def _values(paths: Sequence[Path], workers: int) -> set[int]:
    """Every integer in some masks; unreadable ones are reported later, when they are scored."""
    answers = _run(_labels_in, paths, [path.name for path in paths], "reading labels", workers)
    return {value for answer in answers for value in answer}


def _labels_in(path: Path) -> tuple[int, ...]:
    from autospine.volumes import read_mask

    try:
        return present_labels(read_mask(path).array, path)
    except UserError:
        return ()


def _score(job: _Job) -> _Answer:
    """Reads both masks once and scores them both ways, each of which may fail by itself."""
    from autospine.volumes import read_mask

    try:
        reference = read_mask(job.files.reference)
        prediction = None if job.files.prediction is None else read_mask(job.files.prediction)
    except UserError as error:
        official = ChallengeCase(job.id, None, problem=str(error)) if job.spider else None
        return _Answer(official=official, failures=(str(error),))
    case, official, failures = None, None, []
    try:
        case = _score_volumes(job, prediction, reference)
    except UserError as error:
        failures.append(str(error))
    if job.spider:
        comparison = job.files.comparison
        schemes = comparison.prediction.source, comparison.reference.source
        official = score_challenge(job.id, prediction, reference, *schemes)
        failures += [official.problem] if official.problem and not failures else []
    return _Answer(case, official, tuple(failures))


def _score_volumes(job: _Job, prediction: Volume | None, reference: Volume) -> CaseScore:
    files = job.files
    if prediction is not None:
        # canonical grids: a file may store the same voxels in another order
        difference = reference.geometry.canonical().difference(prediction.geometry.canonical())
        if difference:
            problem = f"lies on another grid than {files.reference}: {difference}"
            raise UserError(str(files.prediction), problem, "bring the prediction to the reference's grid")
    return evaluate_case(
        job.id,
        None if prediction is None else prediction.array,
        reference.array,
        reference.spacing,
        (files.comparison.prediction.source, files.comparison.reference.source),
        (files.prediction or files.reference, files.reference),
        job.tolerance_mm,
        None if files.prediction is None else read_probabilities(files.prediction),
    )


def _run(
    work: Callable[[_In], _Out], jobs: Sequence[_In], names: Sequence[str], doing: str, workers: int
) -> list[_Out]:
    from autospine.core.parallel import run_cases

    return run_cases(work, jobs, names, doing, workers)
