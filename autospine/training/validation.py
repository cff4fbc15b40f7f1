"""After training: the fold's cases as a user would have them, whole, on their own grids, scored."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from tqdm import tqdm

from autospine import volumes
from autospine.evaluation.evaluation import CaseScore, Evaluation, complete
from autospine.evaluation.scoring import score_case
from autospine.model import find_models
from autospine.overlay.draw import draw_overlay
from autospine.prediction import segment
from autospine.prediction.batch import suffix_of
from autospine.prediction.predictor import Predictor
from autospine.prediction.windows import starts
from autospine.preprocessing.storage import CaseStore
from autospine.training import distributed
from autospine.training.calibration import Afterwards
from autospine.training.job import Job
from autospine.training.trainer import Trainer
from autospine.work import WorkFolder

log = logging.getLogger(__name__)


def afterwards(trainer: Trainer, job: Job) -> Afterwards:
    """How much there is to validate."""
    total = 0
    for case_id in job.fold.validation:
        shape = CaseStore(job.cases, case_id).record.shape
        count = 1 if trainer.plan.view_axis is None else shape[trainer.plan.view_axis]
        for axis, size in zip(trainer.plan.network_axes, trainer.patch, strict=True):
            count *= len(starts(shape[axis], size))
        total += count
    return Afterwards(total, len(job.fold.validation))


def validate(trainer: Trainer, job: Job) -> Evaluation | None:
    """Predicts and scores the fold's validation cases; gives None where there are none.

    Masks and pictures lie beside the model in validation/, scores in validation/summary.json, .csv and .md.
    """
    if not job.fold.validation or not distributed.is_main():
        return None
    return score_cases(trainer, job.work, job.folder, job.device, job.fold.validation, "validation")


def score_cases(
    trainer: Trainer, work: Path, model_folder: Path, device: torch.device, ids: tuple[str, ...], name: str
) -> Evaluation:
    """Predicts whole cases with a trained model and scores them.

    Args:
        trainer: Of the model.
        work: The work folder, for the cases' files.
        model_folder: The model's; the masks go to a folder `name` in it.
        device: Where.
        ids: The cases.
        name: "validation" or "held_out".
    """
    folder = model_folder / name
    models = find_models([model_folder])
    predictor = Predictor(models, device)
    sources = WorkFolder(work).load_sources()
    scores = []
    for case_id in tqdm(ids, desc=name, unit="case", disable=None, leave=False):
        source = sources[case_id]
        channels = [volumes.read_image(path) for path in source.images]
        reference = volumes.read_mask(source.mask)
        found = segment(channels, predictor, models)
        found.save(folder / f"{case_id}{suffix_of(Path(source.mask))}", folder / f"{case_id}.json")
        draw_overlay(
            channels[0].array,
            found.mask,
            reference.spacing,
            found.scheme,
            folder / f"{case_id}.png",
            title=case_id,
        )
        rows = score_case(
            found.mask,
            reference.array,
            reference.spacing,
            found.scheme,
            trainer.plan.scheme,
            (case_id, source.mask),
        )
        scores.append(CaseScore(case_id, tuple(rows)))
    evaluation = evaluation_of(scores, trainer)
    evaluation.save(folder)
    return evaluation


def evaluation_of(scores: list[CaseScore], trainer: Trainer) -> Evaluation:
    """All cases' scores as one evaluation."""
    completed, one_sided = complete(scores)
    name = trainer.plan.scheme.name
    return Evaluation(completed, name, name, one_sided)
