"""The batches of a fold: what is sampled from, for training and validation, and how it is augmented."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from autospine.augmentation import BatchgeneratorsSettings, apply, sample
from autospine.augmentation.batchgenerators import augment
from autospine.core.errors import UserError
from autospine.core.machine import find_machine
from autospine.core.precision import Precision
from autospine.dataset.cases import listed
from autospine.labels.encoding import Encoding
from autospine.training import distributed
from autospine.training.data import Batch, Batches, Loader, PatchSampler
from autospine.training.folds import prepare_cases
from autospine.training.job import TrainingJob
from autospine.training.resident import ResidentBatches, gib_of
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)

HELD = 0.3  # of the memory for training, which cases may take: those of training, and those of validation
VALIDATION_SEED = 1_000_003  # patches that are scored are the same in every epoch


def training_and_validation(trainer: Trainer, job: TrainingJob) -> tuple[Batches, Batches]:
    """Return the batches of both; where no case is kept for validation, the training cases serve again."""
    fold, slices = job.fold, job.fold.slices
    training = make_batches(trainer, job, fold.train, job.seed, slices.train if slices else None)
    if not fold.validation:
        return training, training.with_seed(VALIDATION_SEED)
    validation_slices = slices.validation if slices else None
    return training, make_batches(trainer, job, fold.validation, VALIDATION_SEED, validation_slices)


def make_batches(
    trainer: Trainer,
    job: TrainingJob,
    ids: tuple[str, ...],
    seed: int,
    slices: Mapping[str, Sequence[int]] | None = None,
) -> Batches:
    """Return the batches of some cases, or of some of their slices, on the recipe's preprocessing."""
    folder = prepare_cases(trainer, job.cases, tuple(dict.fromkeys(job.fold.train + job.fold.validation)))
    sampler = PatchSampler(
        folder,
        ids,
        trainer.plan,
        trainer.label_scheme,
        trainer.encoding,
        trainer.patch,
        trainer.recipe.foreground_oversampling,
        slices,
        trainer.derived.scheme,
    )
    sampler.weigh_sources(dict(job.source_weights))
    settings = (sampler, trainer.batch, seed, distributed.rank())
    loader = _loader(sampler, job)
    return ResidentBatches(*settings, job.device) if loader == "memory" else Batches(*settings, job.workers, loader)


def _loader(sampler: PatchSampler, job: TrainingJob) -> Loader:
    """Return how batches are made: as asked; else on CUDA out of its memory, or by processes if that is small.

    Raises:
        UserError: The memory that was asked for does not hold the cases.
    """
    if job.loader in ("threads", "processes"):
        return job.loader
    if job.loader == "auto" and job.device.type != "cuda":
        return "threads"
    needed, free = gib_of(sampler), HELD * find_machine(str(job.device), None).memory_gib
    text = f"{len(sampler.stores)} cases need {needed:.2g} GiB of the {job.device.type}'s memory"
    if needed <= free:
        log.info("%s: they are held there", text)
        return "memory"
    if job.loader == "memory":
        raise UserError("--loader memory", f"{text}, {free:.2g} are free for them", "use --loader processes")
    return "processes"


def warn_of_absent_classes(trainer: Trainer, sampler: PatchSampler, job: TrainingJob) -> None:
    """Name the classes that no training case shows, and the cases that show none."""
    anatomies = trainer.label_scheme.anatomies
    absent = [anatomies[value].name for value in sampler.absent_classes()]
    if absent:
        names = listed(absent, len(anatomies))
        log.warning("no training case of fold %s shows %s: not learnt", job.fold_name, names)
    unlabelled = sampler.unlabelled_cases()
    if unlabelled:
        names = listed(unlabelled, 20)
        log.warning("fold %s: nothing to learn is left in %s once cropped and transformed", job.fold_name, names)


def label_classes(encoding: Encoding) -> Tensor:
    """Return the class of each train id that augmentation may give a brightness, `(train ids,)` int64.

    Levels of a class share it. Merged labels have one beyond the classes; whatever else is not told is background.
    """
    classes = encoding.class_of_index()
    merged = (classes < 0) & (encoding.level_of_index() >= 0)
    return torch.from_numpy(np.where(merged, classes.max() + 1, classes.clip(0)))


def augmented(trainer: Trainer, batch: Batch, precision: Precision) -> Batch:
    """Return the batch as the recipe's augmentation and the memory layout make it."""
    settings, seed, outside = trainer.augmentation(), torch.initial_seed(), trainer.encoding.ignore_index
    images, labels, centres = batch.images, batch.labels, batch.centres
    if isinstance(settings, BatchgeneratorsSettings):
        images, labels = augment(images, labels, settings, seed, outside)
    elif settings is not None:
        settings = replace(settings, pixel_spacing=batch.pixel_spacing)
        parameters = sample(torch.Generator().manual_seed(seed), images.shape, settings)
        images, labels, centres = apply(images, labels, parameters, centres, outside, label_classes(trainer.encoding))
    layout = precision.layout(trainer.plan.dimension)
    return batch.with_images(images.contiguous(memory_format=layout), labels, centres)
