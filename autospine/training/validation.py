"""After training: the fold's cases as a user would have them, whole, on their own grids, scored."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from autospine import volumes
from autospine.core.files import remove
from autospine.core.workspace import SourceCase, WorkFolder
from autospine.evaluation.case import CaseScore, evaluate_case
from autospine.evaluation.cohort import SEQUENCE, SOURCE, Evaluation, complete, strata
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.text import save
from autospine.evaluation.structures import score_case
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import find_models, save_calibration
from autospine.inference.predict import output_scheme, segment
from autospine.inference.predictor import Predictor
from autospine.inference.run import mask_suffix
from autospine.inference.segmentation import Segmentation
from autospine.labels.anatomy import Anatomy
from autospine.labels.conversion import conversion
from autospine.labels.schemes import LabelScheme
from autospine.overlay.draw import draw_overlay
from autospine.planning.splits import Subset
from autospine.preprocessing.run import read_annotation
from autospine.training import distributed
from autospine.training.calibration import (
    ClassSample,
    LevelSample,
    class_sample,
    fit_calibration,
    level_sample,
    reference_ids,
)
from autospine.training.job import TrainingJob
from autospine.training.trainer import Trainer
from autospine.volumes import Volume

log = logging.getLogger(__name__)

SLICE = "_slice"  # between a case's id and the number of one of its slices


def validate(trainer: Trainer, job: TrainingJob) -> Evaluation | None:
    """Predict and score the fold's test cases, or its validation cases; None where there are none.

    Masks and pictures lie beside the model in test/ or validation/, with summary.json, cases.csv and summary.md.
    The model's confidences are calibrated on whole validation cases.
    """
    subset = job.fold.eval_subset
    if not subset.cases or not distributed.is_main():
        return None
    calibrates = subset.name == "validation" and subset.slices is None
    return score_cases(trainer, job.work, job.folder, job.device, subset, calibrates)


def score_cases(
    trainer: Trainer, work: Path, model_folder: Path, device: torch.device, subset: Subset, calibrates: bool = False
) -> Evaluation:
    """Predict whole cases with a trained model and score them.

    Args:
        trainer: Of the model.
        work: The work folder, for the cases' files.
        model_folder: The model's; the masks go to a folder in it, named like the subset.
        device: Where.
        subset: The cases. Of a subset of slices, each of its slices is scored as an image of its own, and no other.
        calibrates: Whether they calibrate the model's confidences from now on; those of this call are as before.
    """
    folder = model_folder / subset.name
    if trainer.left_out:
        names = ", ".join(anatomy.name for anatomy in trainer.left_out.values())
        log.info("%s has no place for %s: neither learnt nor scored", trainer.label_scheme.name, names)
    models = find_models([model_folder])
    scorer = CaseScorer(trainer, Predictor(models, device), subset, folder, calibrates)
    sources = WorkFolder(work).load_sources()
    cases = [
        scorer(case_id, sources[case_id])
        for case_id in tqdm(subset.cases, desc=subset.name, unit="case", disable=None, leave=False)
    ]
    evaluation = evaluation_of([score for case in cases for score in case.scores], trainer, work)
    save(MethodComparison((evaluation,)), folder)
    trainer.write_tables(folder, subset, work)
    if calibrates:
        classes = [case.classes for case in cases if case.classes is not None]
        levels = [case.levels for case in cases if case.levels is not None]
        save_calibration(models, fit_calibration(classes, levels, model_folder.name))
    return evaluation


@dataclass(frozen=True)
class ScoredCase:
    """What one case tells: its scores, and samples for the calibration where they are wanted."""

    scores: tuple[CaseScore, ...]  # one, or one of each slice
    classes: ClassSample | None
    levels: LevelSample | None


@dataclass(frozen=True)
class CaseScorer:
    """Predicts, draws and scores cases of one subset; masks and pictures go to a folder."""

    trainer: Trainer
    predictor: Predictor
    subset: Subset
    folder: Path
    calibrates: bool  # whether samples for the calibration are taken

    def __call__(self, case_id: str, source: SourceCase) -> ScoredCase:
        """Predict one case and score it."""
        channels = [volumes.read_image(path) for path in source.images]
        mask = read_annotation(source.mask, source.source, self.trainer.plan)
        stored = self.folder / f"{case_id}.npy" if self.calibrates else None
        segmentation = segment(channels, self.predictor, probabilities=stored)
        classes = None
        if stored is not None:
            classes = class_sample_of(stored, mask.array, self.trainer, source)
            remove(stored)
        segmentation.save(self.folder / f"{case_id}{mask_suffix(Path(source.mask))}", self.folder / f"{case_id}.json")
        picture, scheme = self.folder / f"{case_id}.png", segmentation.scheme
        draw_overlay(channels[0].array, segmentation.mask, mask.spacing, scheme, picture, case_id, segmentation.remarks)
        scores = tuple(self._scores(case_id, source, mask, segmentation))
        whole = self.subset.slices is None
        return ScoredCase(scores, classes, level_sample(segmentation.level_evidence, scores[0]) if whole else None)

    def _scores(
        self, case_id: str, source: SourceCase, mask: Volume, segmentation: Segmentation
    ) -> Iterator[CaseScore]:
        """Yield the score of the case, or of each of its slices in the subset."""
        annotated, reference_scheme = reference_of(self.trainer, mask.array, source)
        predicted, scheme = segmentation.mask, segmentation.scheme
        if source.source:
            change = conversion(scheme, reference_scheme)  # what the data set does not annotate is not scored
            predicted, scheme = change.apply(predicted, case_id), change.target
        known = {Anatomy.parse(label.anatomy): label.confidence for label in segmentation.labels}
        for name, images in images_of(case_id, self.subset, self.trainer.plan.view_axis):
            schemes = scheme, reference_scheme
            pair = MaskPair(predicted[images], annotated[images], mask.spacing, schemes, (name, source.mask))
            if self.subset.slices is None:
                yield replace(evaluate_case(name, pair), ambiguous=segmentation.ambiguous, confidences=known)
            else:  # a slice has no instances
                yield CaseScore(name, tuple(score_case(pair)))


def class_sample_of(stored: Path, mask: np.ndarray, trainer: Trainer, source: SourceCase) -> ClassSample:
    """Take what `stored` class probabilities say of a case with a `(slices, rows, columns)` mask."""
    ids = reference_ids(mask, trainer, source.mask, source.source)
    return class_sample(np.load(stored, mmap_mode="r"), ids, trainer.encoding, source.source)


def reference_of(trainer: Trainer, mask: np.ndarray, source: SourceCase) -> tuple[np.ndarray, LabelScheme]:
    """Return the reference of a `(slices, rows, columns)` mask; warn where the transforms leave nothing of it.

    Returns:
        The reference and its scheme: of several data sets, that of the case's own, without what it does not annotate.
    """
    path, annotated = source.mask, trainer.reference(mask, source.mask)
    ignore_label = trainer.derived.scheme.ignore_label
    if ignore_label is not None and mask.any() and not np.isin(annotated, (0, ignore_label), invert=True).any():
        log.warning("%s: nothing of the trainer's labels can be derived from it; it is not scored", path)
    own = next((labels for labels in trainer.plan.sources if labels.name == source.source), None)
    if own is None:
        return annotated, trainer.derived.scheme
    change = conversion(trainer.derived.scheme, own.annotated)
    return change.apply(annotated, path), change.target


def images_of(case_id: str, subset: Subset, view_axis: int | None) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """Yield name and region of what is scored of a case: the whole case, or each of its slices in the subset."""
    if subset.slices is None:
        yield case_id, (slice(None),) * 3
        return
    axis = view_axis or 0
    for k in subset.slices[case_id]:
        yield f"{case_id}{SLICE}{k}", tuple(slice(k, k + 1) if a == axis else slice(None) for a in range(3))


def evaluation_of(scores: Sequence[CaseScore], trainer: Trainer, work: Path) -> Evaluation:
    """Return all scores as one evaluation: intervals over patients, groups by sequence and data set where several."""
    completed, unmatched_labels = complete(scores)
    known = {case.id: case for case in Fingerprint.load(WorkFolder(work).fingerprint).cases}
    names = [case.id for case in completed]
    cases = {name: known[name if name in known else name.rpartition(SLICE)[0]] for name in names}
    groups: dict[str, dict[str, tuple[str, ...]]] = {SEQUENCE: strata(names, SEQUENCE, {}), SOURCE: {}}
    for name, case in cases.items():
        groups[SOURCE][case.source] = (*groups[SOURCE].get(case.source, ()), name)
    return Evaluation(
        completed,
        output_scheme(trainer.label_scheme, trainer.plan.scheme, None).name,
        trainer.derived.scheme.name,
        unmatched_labels,
        patients={name: case.patient for name, case in cases.items()},
        strata={column: members for column, members in groups.items() if len(members) > 1},
    )
