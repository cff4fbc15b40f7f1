"""Scores a folder of predictions against a folder of references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.errors import UserError
from autospine.evaluation.comparison import Comparison, compare
from autospine.evaluation.evaluation import CaseScore, Evaluation, LabelSummary, OneSided, complete
from autospine.evaluation.scoring import LabelScore, score_case, score_masks
from autospine.labels.anatomy import Anatomy
from autospine.labels.conversion import infer_scheme, present_labels
from autospine.labels.schemes import LabelScheme

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CaseScore", "Evaluation", "LabelScore", "LabelSummary", "OneSided", "score_case", "score_folder"]
MASK_FOLDERS = ("masks", "labelsTr")


def score_folder(
    prediction: str | Path,
    reference: str | Path,
    pred_scheme: LabelScheme | None = None,
    ref_scheme: LabelScheme | None = None,
    workers: int = 1,
) -> Evaluation:
    """Scores every case of a folder.

    Args:
        prediction: A mask, or a folder of them.
        reference: A mask, a folder of them, or a data set with `masks/`. Cases pair by id, the file name
            without suffix; two single files pair whatever their names.
        pred_scheme: Labels of the predictions. None: what a dataset.json beside them says, else the
            references' scheme if every value fits it, else inferred from the values.
        ref_scheme: Labels of the references. None: dataset.json, else inferred from the values.
        workers: Processes at once.

    Returns:
        The scores. A reference without a prediction scores 0; a case that cannot be read or whose grids
        differ is in `failures`, and the other cases are scored.

    Raises:
        UserError: A folder holds no masks, no case pairs, or the schemes share no anatomy.
    """
    predictions, references = _files(Path(prediction)), _files(Path(reference))
    if Path(prediction).is_file() and Path(reference).is_file():
        predictions = dict(zip(references, predictions.values(), strict=True))
    if not set(predictions) & set(references):
        fault = f"shares no case id with {reference}"
        raise UserError(prediction, fault, "name each prediction like its reference")
    pred_scheme, ref_scheme = _schemes(predictions, references, pred_scheme, ref_scheme, workers)
    comparison = compare(pred_scheme, ref_scheme)
    if not comparison.rows:
        fault = f"labels ({pred_scheme.name}) share no anatomy with the references' ({ref_scheme.name})"
        raise UserError(prediction, fault, "check --pred-labels and --ref-labels")
    jobs = [_Job(id_, predictions.get(id_), path, comparison) for id_, path in references.items()]
    answers = _run(_score, jobs, [job.id for job in jobs], "scoring", workers)
    scored = [answer for answer in answers if isinstance(answer, CaseScore)]
    cases, one_sided = complete(scored)
    return Evaluation(
        cases=cases,
        pred_scheme=pred_scheme.name,
        ref_scheme=ref_scheme.name,
        one_sided=one_sided,
        extra=tuple(id_ for id_ in predictions if id_ not in references),
        failures=tuple(answer.line for answer in answers if isinstance(answer, _Failure)),
    )


@dataclass(frozen=True)
class _Job:
    id: str
    prediction: Path | None
    reference: Path
    comparison: Comparison


@dataclass(frozen=True)
class _Failure:
    line: str


def _files(place: Path) -> dict[str, Path]:
    """Masks by case id, in the order of the folder."""
    from autospine.volumes import find_volumes, volume_id

    if place.is_file():
        return {volume_id(place): place}
    if not place.exists():
        raise UserError(place, "does not exist", "give a mask or a folder of masks")
    inner = [place / name for name in MASK_FOLDERS if (place / name).is_dir()]
    found = {volume_id(path): path for path in find_volumes(inner[0] if inner else place)}
    if not found:
        raise UserError(place, "holds no masks", "give a mask or a folder of masks")
    return found


def _schemes(
    predictions: Mapping[str, Path],
    references: Mapping[str, Path],
    pred_scheme: LabelScheme | None,
    ref_scheme: LabelScheme | None,
    workers: int,
) -> tuple[LabelScheme, LabelScheme]:
    """Fills in the schemes that were not given."""
    pred_scheme = pred_scheme or _declared(predictions)
    ref_scheme = ref_scheme or _declared(references)
    if pred_scheme is not None and ref_scheme is not None:
        return pred_scheme, ref_scheme
    common = [id_ for id_ in references if id_ in predictions]
    ours = _values([predictions[id_] for id_ in common], workers) if pred_scheme is None else set()
    theirs = _values(list(references.values()), workers) if ref_scheme is None else set()
    if ref_scheme is None:
        ref_scheme = infer_scheme(ours | theirs)
    if pred_scheme is None:
        fits = ours - {0, ref_scheme.unlabelled} <= set(ref_scheme.anatomies)
        pred_scheme = ref_scheme if fits else infer_scheme(ours)
    return pred_scheme, ref_scheme


def _declared(files: Mapping[str, Path]) -> LabelScheme | None:
    """What a dataset.json in the folder, or in the one above, says."""
    from autospine.dataset.tables import read_declaration

    folder = next(iter(files.values())).parent
    for place in (folder, folder.parent):
        if (place / "dataset.json").is_file():
            return read_declaration(place / "dataset.json").scheme
    return None


def _values(paths: Sequence[Path], workers: int) -> set[int]:
    """Every integer in some masks; unreadable ones are reported later, when they are scored."""
    answers = _run(_labels_in, paths, [path.name for path in paths], "reading labels", workers)
    return {value for answer in answers if isinstance(answer, tuple) for value in answer}


def _labels_in(path: Path) -> tuple[int, ...] | _Failure:
    from autospine.volumes import read_mask

    try:
        return present_labels(read_mask(path).array, path)
    except UserError as error:
        return _Failure(str(error))


def _score(job: _Job) -> CaseScore | _Failure:
    try:
        return _score_files(job)
    except UserError as error:
        return _Failure(str(error))


def _score_files(job: _Job) -> CaseScore:
    import numpy as np

    from autospine.volumes import read_mask

    reference = read_mask(job.reference)
    predicted = np.zeros_like(reference.array)
    if job.prediction is not None:
        volume = read_mask(job.prediction)
        difference = reference.geometry.difference(volume.geometry)
        if difference:
            fault = f"lies on another grid than {job.reference}: {difference}"
            raise UserError(job.prediction, fault, "bring the prediction to the reference's grid")
        predicted = volume.array
    subjects = (job.prediction or job.reference, job.reference)
    scores = score_masks(predicted, reference.array, reference.spacing, job.comparison, subjects)
    beyond = {
        "prediction": _shown(predicted, job.comparison.prediction.lost, job.comparison.prediction.source),
        "reference": _shown(reference.array, job.comparison.reference.lost, job.comparison.reference.source),
    }
    return CaseScore(job.id, tuple(scores), job.prediction is None, beyond)


def _shown(mask: np.ndarray, lost: Sequence[Anatomy], scheme: LabelScheme) -> tuple[Anatomy, ...]:
    if not lost:
        return ()
    found = {scheme.anatomies[label] for label in present_labels(mask) if label in scheme.anatomies}
    return tuple(sorted(found & set(lost)))


def _run(
    work: Callable[..., object], jobs: Sequence[object], names: Sequence[str], doing: str, workers: int
) -> list[object]:
    from autospine.parallel import run_cases

    return run_cases(work, jobs, names, doing, workers)
