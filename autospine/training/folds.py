"""Which cases, or slices, a training sees: the work folder's folds, or those of a split strategy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import SEQUENCES, listed
from autospine.dataset.metadata import TRAINING
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.planning.split_strategies import FILE, Split, patient_splits, slice_splits
from autospine.planning.splits import Fold, Splits, read_splits
from autospine.preprocessing.run import transform_cases
from autospine.preprocessing.storage import CaseStore
from autospine.training import distributed
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CasePool:
    """The cases that a training may take from."""

    folds: tuple[Fold, ...]  # of the work folder, with cases of the wanted sequence alone
    # Cases that may be trained on; the data set's validation subset is not among them.
    training: tuple[CaseFingerprint, ...]
    held_out: tuple[str, ...]  # the validation subset, which no fold has seen
    reason: str  # how the work folder's folds came about
    user_defined: bool = False  # by the user, in a file


def read_case_pool(work: WorkFolder, sequence: str | None = None) -> CasePool:
    """Read the work folder's folds, of one sequence only if it is named.

    Raises:
        UserError: There is no case of the sequence.
    """
    cases = Fingerprint.load(work.fingerprint).cases
    splits = read_splits(work.splits, cases)
    if sequence is not None:
        cases = tuple(case for case in cases if case.sequence == sequence)
        splits = _restricted(splits, {case.id for case in cases})
    used = {id_ for fold in splits.folds for id_ in fold.cases}
    training = tuple(case for case in cases if case.id in used and case.subset == TRAINING)
    if not training:
        sequences = sorted({case.sequence for case in Fingerprint.load(work.fingerprint).training})
        raise UserError(f"--sequence {sequence}", "has no case to train on", f"the data set has {', '.join(sequences)}")
    return CasePool(splits.folds, training, splits.held_out, splits.reason, splits.user_defined)


def _restricted(splits: Splits, kept: set[str]) -> Splits:
    def only(ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(id_ for id_ in ids if id_ in kept)

    folds = (Fold(only(fold.train), only(fold.validation), only(fold.test)) for fold in splits.folds)
    return replace(splits, folds=tuple(folds), held_out=only(splits.held_out))


def sequence_named(asked: str | None) -> str | None:
    """Return the sequence of --sequence, whatever its capitals.

    Raises:
        UserError: It is none of those that ids can name.
    """
    if asked is None:
        return None
    if asked.lower() not in SEQUENCES:
        raise UserError(f"--sequence {asked}", "is unknown", f"choose from {', '.join(SEQUENCES.values())}")
    return SEQUENCES[asked.lower()]


def choose_splits(trainer: Trainer, work: WorkFolder, pool: CasePool, asked: str) -> dict[str, Split]:
    """Return the splits of --fold by name: a number, "cv" for each fold, "all" for every training case.

    Raises:
        UserError: There is no such fold, or nothing in it to train on or to score.
    """
    if asked == "all":
        everyone = tuple(case.id for case in pool.training)
        return {"all": Split("folds", Fold(everyone, ()), "every training case")}
    numbered = {str(k): split for k, split in enumerate(split_cases(trainer, work, pool))}
    if asked != "cv" and asked not in numbered:
        raise UserError(f"--fold {asked}", "does not exist", f"choose from {', '.join(numbered)}, cv, all")
    chosen = numbered if asked == "cv" else {asked: numbered[asked]}
    for name, split in chosen.items():
        if not split.fold.train or not split.fold.eval_subset.cases:
            lacking = "train on" if not split.fold.train else "score"
            raise UserError(f"fold {name}", f"has no case to {lacking}", "choose another --fold or --sequence")
    return chosen


def split_cases(trainer: Trainer, work: WorkFolder, pool: CasePool) -> tuple[Split, ...]:
    """Split into folds as the recipe says: the work folder's, by patient, or slice by slice.

    The user's own folds replace a recipe's split of patients; where it splits slices they cannot, which is logged.
    """
    settings = trainer.recipe.split
    if settings is None or (pool.user_defined and settings.by == "patient"):
        return tuple(Split("folds", fold, pool.reason) for fold in pool.folds)
    if settings.by == "patient":
        return patient_splits(pool.training, settings)
    if pool.user_defined and distributed.is_main():
        log.warning(
            "WARNING: the work folder's folds (%s) are not used: slices are split one by one, so that cases to be "
            "scored are trained on, too; --split patient takes the folds",
            pool.reason,
        )
    slices = allowed_slices(trainer, work.preprocessed(trainer.plan.name), pool.training)
    lost = [case for case, own in slices.items() if not own]
    if lost and distributed.is_main():
        log.warning("no slice of %s is left by the recipe's transforms: in no subset, and not scored", listed(lost, 20))
    return slice_splits(slices, settings)


def allowed_slices(trainer: Trainer, cases: Path, wanted: Sequence[CaseFingerprint]) -> dict[str, tuple[int, ...]]:
    """Return the slices that the recipe's preprocessing leaves for training, by case id.

    Raises:
        UserError: The plan sees volumes, or slices other than the measured ones.
    """
    axis = trainer.plan.view_axis
    if axis is None:
        raise UserError(
            "--split slices", f"cannot split {trainer.plan.name}: it sees whole volumes", "use --split patient"
        )
    folder = prepare_cases(trainer, cases, tuple(case.id for case in wanted))
    slices = {}
    for case in wanted:
        record = CaseStore(folder, case.id).record
        if record.shape[axis] != case.shape[axis]:
            raise UserError(
                "--split slices",
                f"splits slices as they were measured; {case.id} has {case.shape[axis]}, the plan makes "
                f"{record.shape[axis]}",
                "use --split patient, or another --plan",
            )
        slices[case.id] = record.slices if record.slices is not None else tuple(range(record.shape[axis]))
    return slices


def prepare_cases(trainer: Trainer, cases: Path, ids: tuple[str, ...]) -> Path:
    """Return the folder of the recipe's cases, made by the main process while the others wait."""
    if distributed.is_main():
        transform_cases(trainer.plan, trainer.recipe.transforms, cases, ids)
    distributed.wait_for_all()
    return transform_cases(trainer.plan, trainer.recipe.transforms, cases, ids)


def kept_split(folder: Path, split: Split, resume: bool) -> Split:
    """Return the split that a continued training was begun with, else this one, written down."""
    if resume and (folder / FILE).exists():
        begun = Split.load(folder)
        if begun != split:
            log.info("%s: the split is the one that this training was begun with", folder / FILE)
        return begun
    if distributed.is_main():
        split.save(folder)
    return split
