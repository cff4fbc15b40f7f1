"""The training loop: reads top to bottom, knows nothing of any paper."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain
from autospine.inference.model import save_model
from autospine.training import distributed
from autospine.training.budget import TrainingBudget, ValidationCost, choose_budget, validation_cost
from autospine.training.checkpoint import load_checkpoint, restoring, save_checkpoint
from autospine.training.data import Batch, Batches
from autospine.training.epoch_validation import (
    TRAINING_BATCHES,
    VALIDATION_BATCHES,
    fixed_batches,
    patch_scores,
    validation_patches,
)
from autospine.training.feed import Feed
from autospine.training.history import Epoch, History, Scores
from autospine.training.initialisation import initialise
from autospine.training.job import TrainingJob, seed_everything
from autospine.training.loading import VALIDATION_SEED, augmented, training_and_validation, warn_of_absent_classes
from autospine.training.optimisation import MovingAverage, Schedule
from autospine.training.trainer import Trainer, prepare

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0  # an epoch that ends sooner after the last checkpoint writes none


def fit(trainer: Trainer, job: TrainingJob, cost: ValidationCost | None = None) -> Path:
    """Train one fold; return the model's folder, with weights.safetensors and model.json.

    Without a `cost` the time budget leaves room for the validation of the fold.
    """
    content = load_checkpoint(job.checkpoint, job.device) if job.resume and job.checkpoint.exists() else None
    if content is not None:
        with restoring(job.checkpoint):
            job = replace(job, seed=int(content["seed"]))
    training, validation = training_and_validation(trainer, job)
    warn_of_absent_classes(trainer, training.sampler, job)
    trainer.fit_statistics(training.sampler)
    if content is not None:
        with restoring(job.checkpoint):
            budget = _stored_budget(job, content)
    else:
        patches = validation_patches(training, validation)
        budget = choose_budget(trainer, training, job, cost or validation_cost(trainer, job), patches)
    seed_everything(job.seed, 0, 0)
    loop = _Loop(trainer, job, budget, content is None)
    if content is not None:
        with restoring(job.checkpoint):
            loop.restore(content)
    elif distributed.is_main():
        loop.save()
    loop.run(training, validation)
    if distributed.is_main():
        save_model(job.folder, trainer.model_card(budget.shape, job), loop.final_weights())
    distributed.wait_for_all()
    return job.folder


def _stored_budget(job: TrainingJob, content: Mapping[str, Any]) -> TrainingBudget:
    """Return the budget of the training so far, its length moved by --epochs."""
    stored = from_plain(TrainingBudget, content["budget"], str(job.checkpoint))
    if job.minutes is not None:
        log.info("goes on with the %d updates that it was begun with: --minutes changes nothing", stored.iterations)
    if job.epochs is None:
        return stored
    iterations = job.epochs * stored.iterations_per_epoch
    if iterations < content["step"]:
        raise UserError(
            f"--epochs {job.epochs}",
            f"is less than the {content['step'] // stored.iterations_per_epoch} epochs already done",
            "ask for more epochs",
        )
    return replace(stored, iterations=iterations)


@dataclass
class State:
    """What changes while training, beside networks, optimisers, schedule and moving average."""

    step: int = 0  # iterations done
    best_score: float = -1.0  # highest monitored score
    # Of the epoch with that score, where the recipe keeps the best.
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    epochs_without_improvement: int = 0  # since that epoch
    history: History = field(default_factory=History)  # one entry per epoch


class _Loop:
    """Fresh networks in training; `restore` takes a checkpoint's instead."""

    def __init__(self, trainer: Trainer, job: TrainingJob, budget: TrainingBudget, fresh: bool) -> None:
        self.trainer, self.recipe, self.job, self.budget, self.state = trainer, trainer.recipe, job, budget, State()
        self.context = prepare(trainer, budget.shape, budget.precision, job.device, micro_batches=budget.micro_batches)
        initialise(trainer, job, self.context, fresh)
        self.network = self.context.networks[trainer.inference]
        decay = self.recipe.ema_decay
        self.average = MovingAverage(self.network, decay) if decay else None
        self.schedule = Schedule(self.recipe.schedule, self.context.updater.optimisers.values(), budget.iterations)

    @property
    def segmenter(self) -> nn.Module:
        """Return the network whose weights would be kept: the moving average where there is one."""
        return self.network if self.average is None else self.average.module

    def run(self, training: Batches, validation: Batches) -> None:
        """Train until the budget is used, or the recipe's patience."""
        if self.job.compile:
            for network in (*self.context.networks.values(), self.segmenter):
                network.compile()
        state, saved, done = self.state, time.monotonic(), self.state.step >= self.budget.iterations
        feed = Feed(training.iterate(state.step, self.budget.iterations), self.job.device)
        train_eval = training.with_seed(VALIDATION_SEED)
        with feed, _progress_bar(self.job, self.budget.iterations, state.step) as bar:
            while not done:
                self._epoch(feed, validation, train_eval, bar)
                done = state.step >= self.budget.iterations or self._out_of_patience()
                if distributed.is_main():
                    state.history.save(self.job.folder, self.job.tensorboard)
                    if done or time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self.save()
                        saved = time.monotonic()
        if state.history.epochs:
            waiting = float(np.mean([epoch.waiting for epoch in state.history.epochs]))
            device = self.job.device.type
            log.info(
                "fold %s: the %s waited for batches %.0f %% of the time", self.job.fold_name, device, 100 * waiting
            )

    def _epoch(self, feed: Feed, validation: Batches, train_eval: Batches, bar: Any) -> None:
        """Train for one epoch, and score patches of the validation and of the training cases."""
        started, terms = time.monotonic(), []
        for _ in range(self.budget.iterations_per_epoch):
            terms.append(self._update(feed.take()))
            bar.update()
        self._check_finite(terms)
        waiting = feed.waited() / max(time.monotonic() - started, 1e-9)
        scores = self._validate_epoch(validation, VALIDATION_BATCHES)
        train_scores = self._validate_epoch(train_eval, TRAINING_BATCHES)
        monitored = getattr(scores, self.recipe.monitor)
        self.schedule.observe(monitored)
        self._remember(monitored)
        means = {name: mean_of([update[name] for update in terms]) for name in terms[0]}
        rate = self.context.updater.optimisers[self.trainer.inference].param_groups[0]["lr"]
        seconds = round(time.monotonic() - started, 2)
        self.state.history.add(Epoch(self.state.step, rate, means, scores, seconds, train_scores, round(waiting, 3)))
        bar.set_postfix(loss=f"{means['loss']:.3f}", dice=f"{scores.dice:.3f}")

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        """Make one update; return its loss terms."""
        seed_everything(self.job.seed, self.state.step, distributed.rank())
        self.schedule.start(self.state.step)
        batch = augmented(self.trainer, batch, self.context.precision)
        terms = self.trainer.training_step(replace(self.context, step=self.state.step), batch)
        self.state.step += 1
        if self.average is not None:
            self.average.update_parameters(self.network)
        return terms

    def _check_finite(self, terms: Sequence[Mapping[str, Tensor]]) -> None:
        """Check that the weights are numbers; `terms` are the loss terms of the epoch's updates.

        Raises:
            UserError: Training has diverged. What was saved before stays.
        """
        parameters = [value for network in self.context.networks.values() for value in network.parameters()]
        if bool(torch.stack([value.isfinite().all() for value in parameters]).all()):
            return
        finite = [all(bool(term.isfinite().all()) for term in update.values()) for update in terms]
        first = self.state.step - len(finite) + (finite.index(False) + 1 if False in finite else len(finite))
        problem = (
            f"has diverged: its weights are NaN or infinite since about update {first} of {self.budget.iterations}"
        )
        hint = f"{self.job.checkpoint.name} holds its last good state; train again with another --seed or recipe"
        raise UserError(self.job.folder, problem, hint)

    def _validate_epoch(self, batches: Batches, count: int) -> Scores:
        """Score at most `count` fixed batches with the weights that would be kept; the same in every process."""
        segmenter = self.segmenter.eval()
        with torch.inference_mode():
            scores = patch_scores(segmenter, self.trainer.encoding, self.context, fixed_batches(batches, count))
        self.network.train()
        return Scores(*distributed.of_the_main((scores.dice, scores.iou, scores.accuracy), self.context.device))

    def _remember(self, score: float) -> None:
        state = self.state
        if score > state.best_score:
            state.best_score, state.epochs_without_improvement = score, 0
            if self.recipe.checkpoint == "best":
                state.best_weights = copy.deepcopy(dict(self.segmenter.state_dict()))
        else:
            state.epochs_without_improvement += 1

    def _out_of_patience(self) -> bool:
        epochs = self.state.epochs_without_improvement
        out = 0 < self.recipe.patience <= epochs
        if out:
            log.info("no better validation score for %d epochs: stopped", epochs)
        return out

    def final_weights(self) -> dict[str, Tensor]:
        """Return the best weights where the recipe keeps them, else the last."""
        return self.state.best_weights or self.segmenter.state_dict()

    def save(self) -> None:
        """Write everything that a continued training needs."""
        updater, state = self.context.updater, self.state
        content = {
            "step": state.step,
            "networks": {name: network.state_dict() for name, network in self.context.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in updater.optimisers.items()},
            "scaler": updater.scaler.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best_score": state.best_score,
            "best_weights": state.best_weights,
            "epochs_without_improvement": state.epochs_without_improvement,
            "history": state.history.to_list(),
            "budget": to_plain(self.budget),
            "seed": self.job.seed,
        }
        save_checkpoint(self.job.checkpoint, content)

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take everything from a checkpoint."""
        updater = self.context.updater
        for name, network in self.context.networks.items():
            network.load_state_dict(content["networks"][name])
            updater.optimisers[name].load_state_dict(content["optimisers"][name])
        if content["scaler"]:
            updater.scaler.load_state_dict(content["scaler"])
        self.schedule.load_state_dict(content["schedule"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        kept = ("step", "best_score", "best_weights", "epochs_without_improvement")
        if [type(content[name]) for name in kept] != [int, float, dict, int]:
            raise TypeError("numbers of the training so far")
        if content["step"] < 0 or (self.budget.iterations - content["step"]) % self.budget.iterations_per_epoch:
            raise ValueError("a part of an epoch")
        history = History.from_list(content["history"])
        self.state = State(**{name: content[name] for name in kept}, history=history)


def mean_of(values: Sequence[Tensor]) -> float:
    """Return the mean of numbers that lie on a device, which is waited for once."""
    return float(np.mean(torch.stack(list(values)).tolist()))


def _progress_bar(job: TrainingJob, iterations: int, done: int) -> Any:
    hidden = None if distributed.is_main() else True
    name = f"fold {job.fold_name}"
    return tqdm(total=iterations, initial=done, desc=name, unit="update", disable=hidden, leave=False)
