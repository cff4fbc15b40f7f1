"""The training loop: reads top to bottom, knows nothing of any paper."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from autospine.augmentation import BatchgeneratorsSettings, apply, sample
from autospine.augmentation.batchgenerators import augment
from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain
from autospine.dataset.cases import listed
from autospine.inference.model import save_model
from autospine.training import distributed
from autospine.training.budget import TrainingBudget, ValidationCost, choose_budget
from autospine.training.checkpoint import load_checkpoint, save_checkpoint
from autospine.training.data import Batch, Batches, PatchSampler
from autospine.training.epoch_validation import (
    TRAINING_BATCHES,
    VALIDATION_BATCHES,
    fixed_batches,
    patch_scores,
    validation_patches,
)
from autospine.training.folds import prepare_cases
from autospine.training.history import Epoch, History, Scores
from autospine.training.job import Job, seed_everything
from autospine.training.optimisation import Schedule
from autospine.training.trainer import Context, Trainer, prepare

log = logging.getLogger(__name__)

VALIDATION_SEED = 1_000_003  # patches that are scored are the same in every epoch
CHECKPOINT_SECONDS = 30.0  # an epoch that ends sooner after the last checkpoint writes none


@dataclass
class State:
    """What changes while training.

    Attributes:
        step: Updates done.
        best: Best validation score so far, with the weights of that epoch.
        waited: Epochs since.
        average: Running average of the weights, if the recipe keeps one.
        history: One entry per epoch.
    """

    step: int = 0
    best: float = -1.0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    waited: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)
    history: History = field(default_factory=History)


def fit(trainer: Trainer, job: Job, after: ValidationCost | None = None) -> Path:
    """Trains one fold.

    Args:
        trainer: Networks, loss, recipe.
        job: Cases, place, time.
        after: What the time must leave room for; None: the validation of the fold.

    Returns:
        The model's folder, with weights.safetensors and model.json.
    """
    content = load_checkpoint(job.checkpoint, job.device) if job.resume and job.checkpoint.exists() else None
    if content is not None:
        job = replace(job, seed=content["seed"])
    training, validation = _sides(trainer, job)
    _warn_of_absent_classes(trainer, training.sampler, job)
    trainer.fit_statistics(training.sampler)
    budget = _stored_budget(job, content)
    if budget is None:
        look = validation_patches(training, validation)
        budget = choose_budget(trainer, training, job, after or _validation_after(trainer, job), look)
    seed_everything(job.seed, 0, 0)
    context = prepare(trainer, budget.shape, budget.precision, job.device, micro_batches=budget.micro_batches)
    schedule = Schedule(trainer.recipe.schedule, budget.steps)
    state = State()
    if content is not None:
        _restore(content, context, schedule, state)
    elif distributed.is_main():
        _save(job, context, schedule, state, budget)
    if job.compile:
        for network in context.networks.values():
            network.compile()
    _run(trainer, job, context, schedule, state, budget, training, validation)
    if distributed.is_main():
        weights = _kept_weights(trainer, context, state)
        save_model(job.folder, trainer.model_card(budget.shape, job), weights)
    distributed.wait_for_all()
    return job.folder


def _sides(trainer: Trainer, job: Job) -> tuple[Batches, Batches]:
    """What is trained on and what is validated on; where nothing is kept for that, the former again."""
    fold, slices = job.fold, job.fold.slices
    training = make_batches(trainer, job, fold.train, job.seed, slices.train if slices else None)
    if not fold.validation:
        return training, Batches(training.sampler, trainer.batch, VALIDATION_SEED, distributed.rank())
    seen = slices.validation if slices else None
    return training, make_batches(trainer, job, fold.validation, VALIDATION_SEED, seen)


def _warn_of_absent_classes(trainer: Trainer, sampler: PatchSampler, job: Job) -> None:
    """Names what cannot be learnt, since no training case shows it, and cases that show nothing."""
    anatomies = trainer.label_scheme.anatomies
    absent_classes = [anatomies[value].name for value in sampler.absent_classes()]
    if absent_classes:
        names = listed(absent_classes, len(anatomies))
        log.warning("no training case of fold %s shows %s: not learnt", job.fold_name, names)
    if sampler.unlabelled_cases():
        log.warning(
            "fold %s: nothing to learn is left in %s once cropped and prepared",
            job.fold_name,
            listed(sampler.unlabelled_cases(), 20),
        )


def make_batches(
    trainer: Trainer,
    job: Job,
    ids: tuple[str, ...],
    seed: int,
    slices: Mapping[str, Sequence[int]] | None = None,
) -> Batches:
    """The batches of some cases, or of some of their slices, on the recipe's preprocessing."""
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
        trainer.prepared.scheme,
    )
    return Batches(sampler, trainer.batch, seed, distributed.rank(), job.threads)


def _validation_after(trainer: Trainer, job: Job) -> ValidationCost:
    from autospine.training.validation import afterwards

    return afterwards(trainer, job)


def _stored_budget(job: Job, content: dict[str, Any] | None) -> TrainingBudget | None:
    """When continuing, that of the training so far, its length moved by --epochs."""
    if content is None:
        return None
    stored = from_plain(TrainingBudget, content["budget"], str(job.checkpoint))
    if job.epochs is None or job.minutes is not None:
        return stored
    steps = job.epochs * stored.iterations_per_epoch
    if steps < content["step"]:
        raise UserError(
            f"--epochs {job.epochs}",
            f"is less than the {content['step'] // stored.iterations_per_epoch} epochs already done",
            "ask for more epochs",
        )
    return replace(stored, steps=steps)


def _run(
    trainer: Trainer,
    job: Job,
    context: Context,
    schedule: Schedule,
    state: State,
    budget: TrainingBudget,
    training: Batches,
    validation: Batches,
) -> None:
    per_epoch, saved = budget.iterations_per_epoch, time.monotonic()
    batches = training.iterate(state.step, budget.steps)
    familiar = Batches(training.sampler, training.size, VALIDATION_SEED, training.rank)
    with _bar(job, budget.steps, state.step) as bar:
        while state.step < budget.steps:
            started, terms = time.monotonic(), []
            for _ in range(per_epoch):
                terms.append(_step(trainer, job, context, schedule, state, next(batches)))
                bar.update()
            score = _look(trainer, context, state, validation, VALIDATION_BATCHES)
            seen = _look(trainer, context, state, familiar, TRAINING_BATCHES)
            watched = getattr(score, trainer.recipe.monitor)
            schedule.observe(watched)
            _remember(trainer, context, state, watched)
            rate = context.updater.optimisers[trainer.inference].param_groups[0]["lr"]
            seconds = time.monotonic() - started
            state.history.add(Epoch(state.step, rate, _means(terms), score, round(seconds, 2), seen))
            bar.set_postfix(loss=f"{state.history.last.terms['loss']:.3f}", dice=f"{score.dice:.3f}")
            done = state.step >= budget.steps or _stops(trainer, state)
            if distributed.is_main():
                state.history.save(job.folder, job.tensorboard)
                if done or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    _save(job, context, schedule, state, budget)
                    saved = time.monotonic()
            if done:
                break


def _step(
    trainer: Trainer, job: Job, context: Context, schedule: Schedule, state: State, batch: Batch
) -> dict[str, Tensor]:
    seed_everything(job.seed, state.step, distributed.rank())
    for name, optimiser in context.updater.optimisers.items():
        rate = trainer.recipe.optimisers[name].learning_rate * schedule.factor(state.step)
        for group in optimiser.param_groups:
            group["lr"] = rate
    batch = augmented(trainer, batch.to(job.device), context)
    terms = trainer.training_step(replace(context, step=state.step), batch)
    state.step += 1
    _average(trainer, context, state)
    return terms


def augmented(trainer: Trainer, batch: Batch, context: Context) -> Batch:
    """Return the batch as the recipe's augmentation and the memory layout make it."""
    settings, seed, outside = trainer.augmentation(), torch.initial_seed(), trainer.encoding.ignore_index
    images, labels, centres = batch.images, batch.labels, batch.centres
    if isinstance(settings, BatchgeneratorsSettings):
        images, labels = augment(images, labels, settings, seed, outside)
    elif settings is not None:
        rows, columns = batch.spacing[:, -2:].mean(0).tolist()
        settings = replace(settings, pixel_spacing=(rows, columns))
        parameters = sample(torch.Generator().manual_seed(seed), images.shape, settings)
        images, labels, centres = apply(images, labels, parameters, centres, outside)
    layout = context.precision.layout(trainer.plan.dimension)
    return batch.with_images(images.contiguous(memory_format=layout), labels, centres)


def _average(trainer: Trainer, context: Context, state: State) -> None:
    """Running average of the weights; short at first, so that early weights are forgotten."""
    if not trainer.recipe.ema_decay:
        return
    weights = context.networks[trainer.inference].state_dict()
    if not state.average:
        state.average = {name: value.clone() for name, value in weights.items()}
        return
    decay = min(trainer.recipe.ema_decay, (1 + state.step) / (10 + state.step))
    for name, value in weights.items():
        if value.is_floating_point():
            state.average[name].lerp_(value, 1 - decay)
        else:
            state.average[name].copy_(value)


def _look(trainer: Trainer, context: Context, state: State, batches: Batches, count: int) -> Scores:
    """Scores on at most `count` fixed batches, with the weights that would be kept; the same in every process."""
    network = context.networks[trainer.inference]
    network.eval()
    with torch.inference_mode(), _weights(network, state.average):
        score = patch_scores(network, trainer.encoding, context, fixed_batches(batches, count))
    network.train()
    agreed = distributed.of_the_main((score.dice, score.iou, score.accuracy), context.device)
    return Scores(*agreed)


@contextmanager
def _weights(network: nn.Module, weights: dict[str, Tensor]) -> Iterator[None]:
    """Lends a network other weights; none leaves it alone."""
    if not weights:
        yield
        return
    own = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _remember(trainer: Trainer, context: Context, state: State, score: float) -> None:
    if score > state.best:
        state.best, state.waited = score, 0
        if trainer.recipe.checkpoint == "best":
            state.best_weights = copy.deepcopy(_current_weights(trainer, context, state))
    else:
        state.waited += 1


def _stops(trainer: Trainer, state: State) -> bool:
    if trainer.recipe.patience and state.waited >= trainer.recipe.patience:
        log.info("no better validation score for %d epochs: stopped", state.waited)
        return True
    return False


def _kept_weights(trainer: Trainer, context: Context, state: State) -> dict[str, Tensor]:
    if trainer.recipe.checkpoint == "best" and state.best_weights:
        return state.best_weights
    return _current_weights(trainer, context, state)


def _current_weights(trainer: Trainer, context: Context, state: State) -> dict[str, Tensor]:
    """The running average where there is one, else the network's own."""
    return state.average or context.networks[trainer.inference].state_dict()


def _means(terms: list[dict[str, Tensor]]) -> dict[str, float]:
    return {name: float(np.mean([float(each[name]) for each in terms])) for name in terms[0]}


def _bar(job: Job, steps: int, done: int) -> Any:
    hidden = None if distributed.is_main() else True
    return tqdm(total=steps, initial=done, desc=f"fold {job.fold_name}", unit="update", disable=hidden, leave=False)


def _save(job: Job, context: Context, schedule: Schedule, state: State, budget: TrainingBudget) -> None:
    save_checkpoint(
        job.checkpoint,
        {
            "step": state.step,
            "networks": {name: network.state_dict() for name, network in context.networks.items()},
            "optimisers": {name: o.state_dict() for name, o in context.updater.optimisers.items()},
            "scaler": context.updater.scaler.state_dict(),
            "schedule": schedule.state(),
            "best": state.best,
            "best_weights": state.best_weights,
            "waited": state.waited,
            "average": state.average,
            "history": state.history.to_list(),
            "budget": to_plain(budget),
            "seed": job.seed,
        },
    )


def _restore(content: dict[str, Any], context: Context, schedule: Schedule, state: State) -> None:
    for name, network in context.networks.items():
        network.load_state_dict(content["networks"][name])
    for name, optimiser in context.updater.optimisers.items():
        optimiser.load_state_dict(content["optimisers"][name])
    if content["scaler"]:
        context.updater.scaler.load_state_dict(content["scaler"])
    schedule.restore(content["schedule"])
    state.step, state.best, state.waited = content["step"], content["best"], content["waited"]
    state.best_weights, state.average = content["best_weights"], content["average"]
    state.history = History.from_list(content["history"])
