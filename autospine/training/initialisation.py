"""The start of a training: which model's weights it takes, for which folds, and how they come into its network."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.cases import listed
from autospine.fingerprint.case import CaseFingerprint
from autospine.inference.ensemble_card import ENSEMBLE
from autospine.inference.model import Model, find_models
from autospine.labels.encoding import Encoding
from autospine.models.files import CARD
from autospine.models.installed import BOX, NONE, START, installed_model, installed_models
from autospine.networks.encoder_decoder import EncoderDecoder
from autospine.networks.shape import NetworkShape
from autospine.planning.splits import Fold
from autospine.training import distributed
from autospine.training.adaptation import LearntLabels, adapt, head_rows, parameter_parts
from autospine.training.job import TrainingJob
from autospine.training.start import Start, known_cases
from autospine.training.trainer import Context, MultiModelTrainer, Trainer

log = logging.getLogger(__name__)

OPTION = "--init-from"
LEAST_TAKEN = 0.5  # share of a network's weights that a start must give
PLAN_AGAIN = "autospine_plan DATASET WORK --init-from {} makes a plan that fits"


def find_start(asked: str | None, trainer: Trainer) -> Start | None:
    """Return what --init-from names; None for fresh weights.

    Without the option it is what trainings start from by themselves, where that fits.

    Args:
        asked: "none", "box", an installed model's name or a folder; None where nobody says.
        trainer: What is trained.

    Raises:
        UserError: It is no single model, or its network is not the trainer's.
    """
    wanted = asked or START
    if wanted == NONE or (asked is None and BOX not in installed_models()):
        return None
    try:
        model = _model(wanted)
        _check_fits(model, wanted, trainer)
        model.weights()  # damaged ones are told before anything is done
    except UserError as error:
        if asked is not None:
            raise
        log.info("fresh weights, not those of %s: %s", wanted, error)
        return None
    return Start.of(model)


def _model(wanted: str) -> Model:
    folder = installed_model(BOX).folder if wanted == BOX else Path(wanted)
    models = find_models([folder])
    if len(models) > 1:
        what = "members of an ensemble" if (models[0].folder.parent / ENSEMBLE).exists() else "folds"
        raise UserError(f"{OPTION} {wanted}", f"holds {len(models)} {what}", f"name one, such as {models[0].folder}")
    return models[0]


def _check_fits(model: Model, wanted: str, trainer: Trainer) -> None:
    """Check that a model's weights fit a trainer's network, stage by stage.

    Raises:
        UserError: Naming what differs.
    """
    option, plan, theirs = f"{OPTION} {wanted}", trainer.plan, model.card.plan
    if isinstance(trainer, MultiModelTrainer):
        raise UserError(option, f"cannot start {trainer.name}, which trains several networks", "train one of them")
    if plan.view_axis != theirs.view_axis:
        problem = f"has a {theirs.dimension}-D network for {theirs.name}, the plan {plan.name} is {plan.dimension}-D"
        if plan.dimension == theirs.dimension:
            problem = f"has learnt {theirs.name}, not {plan.name}"
        raise UserError(option, problem, f"use --plan {theirs.name}, or another model")
    ours = trainer.shape()
    if _stages(ours) != _stages(model.card.shape) or plan.normalisation != theirs.normalisation:
        problem = f"has other stages, widths or intensities than the plan {plan.name}"
        raise UserError(option, problem, PLAN_AGAIN.format(wanted))


def _stages(shape: NetworkShape) -> NetworkShape:
    """Return a shape without the numbers that a start is adapted to."""
    return replace(shape, in_channels=1, out_channels=1)


def start_of_fold(
    start: Start | None, name: str, scored: Sequence[str], cases: Sequence[CaseFingerprint]
) -> Start | None:
    """Return the start of a fold: none where it has seen a case, or a patient, that the fold is scored on.

    Args:
        start: What --init-from names.
        name: Of the fold.
        scored: Ids of the cases that the fold is scored on.
        cases: Of the data set.
    """
    if start is None:
        return None
    known = sorted(known_cases(cases, start.seen) & set(scored))
    if not known:
        return start
    log.warning(
        "fold %s starts from fresh weights: it is scored on %s, and %s has learnt from them or their patients",
        name,
        listed(known),
        start.model,
    )
    return None


def scored_cases(fold: Fold, held_out: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of every case whose score a training reports."""
    return (*fold.validation, *fold.test, *held_out)


def kept_start(folder: Path, start: Start | None, resume: bool) -> Start | None:
    """Return what a continued training was started from, else this start, written down."""
    if resume and any((folder / name).exists() for name in ("checkpoint.pt", CARD)):
        begun = Start.load(folder)
        if begun != start:
            log.info("%s: goes on from %s, as it was begun", folder, "fresh weights" if begun is None else begun.model)
        return begun
    if start is not None and distributed.is_main():
        start.save(folder)
    return start


def initialise(trainer: Trainer, job: TrainingJob, context: Context, fresh: bool) -> None:
    """Put the start's weights into the network that segments, and give its parts their learning rates.

    Args:
        trainer: What is trained.
        job: With its start; without one, nothing is done.
        context: With fresh networks and their optimisers.
        fresh: Whether the training begins; a continued one has its weights already.

    Raises:
        UserError: The start is gone, or gives too few of the network's weights.
    """
    if job.start is None:
        return
    network = context.networks[trainer.inference]
    if fresh:
        _take_weights(trainer, job.start, network)
    optimiser, rates = context.updater.optimisers[trainer.inference], trainer.recipe.fine_tuning
    group, *others = optimiser.param_groups
    if others:  # a trainer that divides its weights has rates of its own
        return
    factors = {"body": rates.body, "first layer": rates.first_layer, "head": rates.head}
    parts = parameter_parts(network)
    optimiser.param_groups[:] = [
        {**group, "params": parts[part], "lr": factor * group["lr"]} for part, factor in factors.items() if parts[part]
    ]


def _take_weights(trainer: Trainer, start: Start, network: object) -> None:
    model = start.read()
    card = model.card
    if not isinstance(network, EncoderDecoder):
        raise UserError(f"{OPTION} {start.model}", f"cannot start {trainer.name}", "use --init-from none")
    rows = head_rows(LearntLabels(trainer.encoding, trainer.label_scheme), LearntLabels(card.encoding, card.scheme))
    adapted = adapt(network, model.weights(), rows)
    if adapted.taken < LEAST_TAKEN:
        problem = f"gives {adapted.taken:.0%} of the weights of {trainer.name}, whose network is another"
        raise UserError(f"{OPTION} {start.model}", problem, f"use --trainer {card.trainer}, or --init-from none")
    network.load_state_dict(adapted.weights)
    fresh = ", ".join(_channel_names(trainer.encoding)[k] for k in adapted.fresh_rows) or "nothing"
    log.info("starts from %s: %.0f %% of the weights; fresh in the head: %s", start.model, 100 * adapted.taken, fresh)


def _channel_names(encoding: Encoding) -> list[str]:
    """Return what a person calls each output channel."""
    return [
        "background",
        *(kind.name for kind in encoding.classes),
        *(f"offset along axis {axis}" for axis in encoding.offset_axes),
        *(f"level {level}" for level in encoding.levels),
    ]
