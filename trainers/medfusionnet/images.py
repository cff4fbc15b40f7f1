"""Which images MedFusionNet's parts hold: middle slices, and what enlarging before the split does to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autospine.core.errors import UserError
from autospine.dataset.cases import listed
from autospine.planning.split_strategies import FILE, SUBSETS, Split, SplitSettings
from autospine.planning.splits import Fold, FoldSlices
from autospine.preprocessing.storage import CaseStore
from autospine.training import distributed
from autospine.training.folds import prepare_cases
from autospine.training.job import Job

if TYPE_CHECKING:
    from trainers.medfusionnet.trainer import MedFusionNetTrainer

log = logging.getLogger(__name__)

WARNING = (
    "the images were enlarged before they were split: copies of one image are trained on and scored, so the scores say "
    "how well known images are remembered"
)
Slices = Mapping[str, tuple[int, ...]]


def with_images(trainer: MedFusionNetTrainer, job: Job) -> Fold:
    """The fold, with its slices named where the recipe takes the middle ones alone: those are scored, too.

    split.json names them as well, for whoever searches or scores later.

    Raises:
        UserError: No slice to train on is annotated, or none to score.
    """
    fold = job.fold
    middle = any(s.name == "annotated_slices" and s.settings.get("middle") for s in trainer.recipe.transforms)
    if fold.slices is not None or not (middle or trainer.options.enlarge == "before"):
        return fold
    folder, slices = prepare_cases(trainer, job.cases, fold.cases), {}
    for case in fold.cases:
        slices[case] = CaseStore(folder, case).record.slices or ()
    named = _fold_of(*({c: slices[c] for c in ids} for ids in (fold.train, fold.validation, fold.test)))
    _check_left(fold, named, job.fold_name)
    if distributed.is_main():
        _say_left_out(fold, named)
        if (job.folder / FILE).exists():
            replace(Split.load(job.folder), fold=named).save(job.folder)
    return named


def _check_left(fold: Fold, named: Fold, name: str) -> None:
    scored = named.test if fold.test else named.validation
    lacking = "" if scored or not fold.eval_subset.cases else "score"
    lacking = lacking if named.train else "train on"
    if lacking:
        problem = f"has no annotated slice to {lacking}"
        raise UserError(f"fold {name}", problem, "annotate more scans, or choose another --fold")


def _say_left_out(fold: Fold, named: Fold) -> None:
    """Names the cases without an annotated slice, part by part: they are in no mean."""
    wholes, kept = ((each.train, each.validation, each.test) for each in (fold, named))
    for part, before, after in zip(SUBSETS, wholes, kept, strict=True):
        bare = [case for case in before if case not in after]
        if bare:
            log.warning(
                "%s: %d of %d cases have no annotated slice, so they are neither trained on nor scored: %s",
                part,
                len(bare),
                len(before),
                listed(bare, 20),
            )


def _fold_of(train: Slices, validation: Slices, test: Slices) -> Fold:
    """A fold of slices; cases without any are left out."""
    parts = [{case: own for case, own in part.items() if own} for part in (train, validation, test)]
    first, second, third = parts
    return Fold(tuple(first), tuple(second), tuple(third), FoldSlices(first, second, third))


def enlarged_first(trainer: MedFusionNetTrainer, fold: Fold, job: Job) -> Fold:
    """Assign copies of every image to the subsets in their shares, and warn.

    Augmentation makes each copy's changes afresh, so that only the subsets of an image are decided here: with eight
    copies and the paper's shares, nearly every test image is also a training image.
    """
    settings, parts = trainer.recipe.split or SplitSettings(), fold.slices
    if parts is None:
        return fold
    every = (parts.train, parts.validation, parts.test)
    images = sorted({(case, k) for part in every for case, own in part.items() for k in own})
    number = int(job.fold_name) if job.fold_name.isdecimal() else 0
    copies = np.random.default_rng([settings.seed, number]).choice(
        len(every),
        size=(len(images), max(round(trainer.options.enlargement), 1)),
        p=np.array(settings.shares) / sum(settings.shares),
    )  # (images, copies) the part of each
    assigned: list[dict[str, tuple[int, ...]]] = [{} for _ in every]
    for (case, k), sides in zip(images, copies, strict=True):
        for side in set(sides.tolist()):
            assigned[side][case] = (*assigned[side].get(case, ()), k)
    enlarged = _fold_of(*assigned)
    if distributed.is_main():
        log.warning("WARNING: %s", WARNING)
        Split("slices", enlarged, f"copies of every image split at random: {WARNING}").save(job.folder)
    return enlarged
