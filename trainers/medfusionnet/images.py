"""Which images MedFusionNet trains on and scores: middle slices, and what enlarging before the split does to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from autospine.core.errors import UserError
from autospine.dataset.cases import listed
from autospine.planning.split_strategies import FILE, SUBSETS, Split, SplitSettings
from autospine.planning.splits import Fold, FoldSlices
from autospine.preprocessing.storage import CaseStore
from autospine.training import distributed
from autospine.training.folds import prepare_cases
from autospine.training.job import TrainingJob
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)

WARNING = (
    "the images were enlarged before they were split: copies of one image are trained on and scored, so the scores say "
    "how well known images are remembered"
)
Slices = Mapping[str, tuple[int, ...]]  # by case


def name_slices(trainer: Trainer, job: TrainingJob, always: bool = False) -> Fold:
    """Return the fold with its slices named where the recipe takes the middle ones alone: those are scored, too.

    split.json names them as well, for whoever searches or scores later.

    Raises:
        UserError: No slice to train on is annotated, or none to score.
    """
    fold = job.fold
    middle = any(t.name == "annotated_slices" and t.settings.get("middle") for t in trainer.recipe.transforms)
    if fold.slices is not None or not (middle or always):
        return fold
    folder, slices = prepare_cases(trainer, job.cases, fold.cases), {}
    for case in fold.cases:
        slices[case] = CaseStore(folder, case).record.slices or ()
    named = _fold_of(*({case: slices[case] for case in ids} for ids in (fold.train, fold.validation, fold.test)))
    _check_left(fold, named, job.fold_name)
    if distributed.is_main():
        _log_left_out(fold, named)
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


def _log_left_out(fold: Fold, named: Fold) -> None:
    """Log the cases without an annotated slice, subset by subset: they are in no mean."""
    subsets = zip(SUBSETS, *((one.train, one.validation, one.test) for one in (fold, named)), strict=True)
    for subset, cases, kept in subsets:
        left_out = [case for case in cases if case not in kept]
        if left_out:
            log.warning(
                "%s: %d of %d cases have no annotated slice, so they are neither trained on nor scored: %s",
                subset,
                len(left_out),
                len(cases),
                listed(left_out, 20),
            )


def _fold_of(*subsets: Slices) -> Fold:
    """Build a fold of the slices to train on, to validate on and to test; cases without any are left out."""
    train, validation, test = ({case: slices for case, slices in subset.items() if slices} for subset in subsets)
    return Fold(tuple(train), tuple(validation), tuple(test), FoldSlices(train, validation, test))


def split_copies(fold: Fold, job: TrainingJob, settings: SplitSettings, enlargement: float) -> Fold:
    """Split copies of every image by the shares of the subsets, and warn.

    Augmentation changes every copy afresh, so only the subsets that an image is in are drawn: with eight copies and the
    paper's shares, nearly every test image is also a training image.
    """
    if fold.slices is None:
        return fold
    subsets = (fold.slices.train, fold.slices.validation, fold.slices.test)
    images = sorted({(case, k) for subset in subsets for case, slices in subset.items() for k in slices})
    number = int(job.fold_name) if job.fold_name.isdecimal() else 0
    drawn = np.random.default_rng([settings.seed, number]).choice(
        len(subsets),
        size=(len(images), max(round(enlargement), 1)),
        p=np.array(settings.shares) / sum(settings.shares),
    )  # (images, copies) the subset of each
    assigned: list[dict[str, tuple[int, ...]]] = [{} for _ in subsets]
    for (case, k), of_copies in zip(images, drawn, strict=True):
        for subset in set(of_copies.tolist()):
            assigned[subset][case] = (*assigned[subset].get(case, ()), k)
    enlarged = _fold_of(*assigned)
    if distributed.is_main():
        log.warning("WARNING: %s", WARNING)
        Split("slices", enlarged, f"copies of every image split at random: {WARNING}").save(job.folder)
    return enlarged
