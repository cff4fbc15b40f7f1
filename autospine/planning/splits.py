"""Folds: which cases train, validate and are tested, with all series of a patient in one subset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.dataset.cases import listed
from autospine.dataset.metadata import TRAINING
from autospine.dataset.verify import identity_problems, raise_together
from autospine.volumes import volume_id

if TYPE_CHECKING:
    from autospine.fingerprint.case import CaseFingerprint


log = logging.getLogger(__name__)

VERSION = 2  # 2: user_defined
COUNT_WEIGHT = 2.0  # equal fold sizes matter more than equal shares of labels or sequences
FORM = (
    'write [{"train": [ids], "val": [ids]}, ...] as nnU-Net does, or {"train": [...], "validation": [...]} '
    '(and "test": [...] where other cases are scored)'
)


@dataclass(frozen=True)
class FoldSlices:
    """Slices of each subset of a fold, where slices are split one by one."""

    # train, validation, test: indices along the plan's view axis, ascending, by case id.
    train: dict[str, tuple[int, ...]]
    validation: dict[str, tuple[int, ...]]
    test: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Subset:
    """Cases of one subset of a fold, and their slices."""

    name: str  # "validation", "test" or "held_out"
    cases: tuple[str, ...]
    slices: dict[str, tuple[int, ...]] | None = None  # by case id; None for whole cases


@dataclass(frozen=True)
class Fold:
    """Case ids of one fold."""

    train: tuple[str, ...]  # trained on
    # Scored during training; they choose the weights where a recipe's checkpoint is the best one.
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()  # scored after training only; () where the validation cases are scored
    # None for whole cases. Else a case may be in several subsets, each of its slices in one.
    slices: FoldSlices | None = None

    @property
    def cases(self) -> tuple[str, ...]:
        """Return the ids of all subsets, each once."""
        return tuple(dict.fromkeys((*self.train, *self.validation, *self.test)))

    @property
    def eval_subset(self) -> Subset:
        """Return what is scored after training: the test subset, or the validation subset where there is no test."""
        if self.test:
            return Subset("test", self.test, self.slices.test if self.slices else None)
        return Subset("validation", self.validation, self.slices.validation if self.slices else None)


@dataclass(frozen=True)
class Splits:
    """Every fold of a data set."""

    version: int  # of the file format
    folds: tuple[Fold, ...]  # at least one
    held_out: tuple[str, ...]  # cases of the validation subset, in no fold
    reason: str  # how the folds came about, in a sentence
    # Whether the user named them: recipes that would split patients themselves then take these.
    user_defined: bool = False

    def save(self, path: str | Path) -> None:
        """Write JSON atomically; `read_splits` reads it."""
        write_json(path, to_plain(self))


def make_splits(cases: Sequence[CaseFingerprint], folds: int = 5, seed: int = 0) -> Splits:
    """Split patients into folds of like size, like labels and like sequences.

    Patients are assigned one by one, those with most cases and labels first, each to the fold that has least of what
    the patient brings. Every training case validates exactly once; no patient is in two subsets of a fold.

    Args:
        cases: Fingerprints; cases of the validation subset are held out.
        folds: How many are wanted; fewer are made if there are fewer patients.
        seed: Decides between patients who bring the same.

    Raises:
        UserError: Fewer than two folds asked for, fewer than two patients with training cases, or a
            patient in both subsets.
    """
    if folds < 2:
        raise UserError(f"--folds {folds}", "is too few", "give 2 or more, or train with --fold all")
    raise_together(identity_problems(cases))
    training = [case for case in cases if case.subset == TRAINING]
    patients = list(dict.fromkeys(case.patient for case in training))
    if len(patients) < 2:
        who = f"all training cases are of one patient ({patients[0]})" if patients else "no case can be trained on"
        raise UserError("folds", who, "add scans of a second patient, or name your own with --splits FILE")
    count = min(folds, len(patients))
    fold_of = _assign(training, patients, count, seed)
    held_out = tuple(case.id for case in cases if case.subset != TRAINING)
    members = [tuple(case.id for case in training if fold_of[case.patient] == number) for number in range(count)]
    all_folds = tuple(Fold(tuple(case.id for case in training if case.id not in ids), ids) for ids in members)
    reason = _reason(folds, count, len(patients), len(training), len(held_out))
    if any(case.source for case in cases):
        reason = reason.replace("balanced by label", "balanced by data set, label")
    return Splits(VERSION, all_folds, held_out, reason)


def _reason(asked: int, count: int, patients: int, cases: int, held_out: int) -> str:
    fewer = f" ({asked} were asked for, but there are no more patients)" if count < asked else ""
    held = f"; {held_out} validation case{'s' if held_out > 1 else ''} held out" if held_out else ""
    return (
        f"{count} folds{fewer} of {patients} patients with {cases} cases, grouped by patient, balanced by"
        f" label and sequence{held}"
    )


def _assign(training: Sequence[CaseFingerprint], patients: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """Assign each patient to a fold; return the fold's number by patient."""
    brings = _features(training, patients)  # (patients, features)
    shuffled = np.random.default_rng(seed).permutation(len(patients))
    order = shuffled[np.argsort(-brings.sum(axis=1)[shuffled], kind="stable")]
    holds = np.zeros((folds, brings.shape[1]))  # (folds, features)
    fold_of = {}
    for patient in order:
        # Least growth of the sum of squares: an empty fold costs nothing, so that none stays empty.
        fold = min(range(folds), key=lambda number: (holds[number] @ brings[patient], holds[number, 0]))
        holds[fold] += brings[patient]
        fold_of[patients[patient]] = int(fold)
    return fold_of


def _features(training: Sequence[CaseFingerprint], patients: Sequence[str]) -> np.ndarray:
    """Compute what each patient brings, (patients, features): share of all cases, of each sequence, source and label.

    A column sums to its weight, so what is rare weighs as much as what is common.
    """
    sequences = sorted({case.sequence for case in training})
    labels = sorted({label for case in training for label in case.centroids})
    named = sorted({case.source for case in training})
    sources = [f"source {name}" for name in named] if len(named) > 1 else []
    row = {patient: index for index, patient in enumerate(patients)}
    column = {feature: index for index, feature in enumerate((None, *sequences, *sources, *labels))}
    table = np.zeros((len(row), len(column)))
    for case in training:
        for feature in (None, case.sequence, *([f"source {case.source}"] if sources else []), *case.centroids):
            table[row[case.patient], column[feature]] += 1
    weights = [
        COUNT_WEIGHT,
        *([len(sequences) ** -0.5] * len(sequences)),
        *([1.0] * len(sources)),
        *([max(1, len(labels)) ** -0.5] * len(labels)),
    ]
    return table / table.sum(axis=0) * weights


def read_splits(path: str | Path, cases: Sequence[CaseFingerprint]) -> Splits:
    """Read folds that were saved, or the user's own.

    Args:
        path: JSON: what `Splits.save` wrote, nnU-Net's list of {"train", "val"}, or one
            {"train", "validation"}, both with "test" if wanted. Ids may carry a file suffix.
        cases: Every case of the data set.

    Raises:
        UserError: Another form or version, an unknown id, an id in two subsets or twice, an empty subset, or a case
            of the validation subset among those to train on.

    A patient on both sides is only warned about, in the log: it is the user's word.
    """
    data = read_json(path, FORM)
    if isinstance(data, Mapping) and "folds" in data:
        check_version(data, VERSION, path, "run autospine_plan again")
        read = from_plain(Splits, data, str(path))
        user_defined = read.user_defined or any(fold.test for fold in read.folds)  # planning makes no test subset
    else:
        folds = tuple(_foreign_fold(path, entry) for entry in (data if isinstance(data, list) else [data]))
        read, user_defined = Splits(VERSION, folds, (), f"given by {Path(path).name}"), True
    if not read.folds:
        raise UserError(path, "holds no fold", FORM)
    by_id = {case.id: case for case in cases}
    folds = tuple(_checked(path, number, fold, by_id) for number, fold in enumerate(read.folds))
    used = {id_ for fold in folds for id_ in fold.cases}
    held_out = tuple(case.id for case in cases if case.subset != TRAINING and case.id not in used)
    return Splits(VERSION, folds, held_out, read.reason, user_defined)


def _foreign_fold(path: str | Path, entry: Any) -> Fold:
    entry = entry if isinstance(entry, Mapping) else {}
    validation = entry.get("validation", entry.get("val"))
    subsets = {"train": entry.get("train"), "validation": validation, "test": entry.get("test", [])}
    for name, ids in subsets.items():
        if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
            raise UserError(path, f'lacks a list of ids called "{name}"', FORM)
    train, validation, test = (tuple(ids) for ids in subsets.values())
    return Fold(train, validation, test)


def _checked(path: str | Path, number: int, fold: Fold, by_id: Mapping[str, CaseFingerprint]) -> Fold:
    """Return the fold with ids that carry no suffix.

    Raises:
        UserError: The fold contradicts the data set or itself.
    """
    train, validation, test = (_known(path, ids, by_id) for ids in (fold.train, fold.validation, fold.test))
    ids = [*train, *validation, *test]
    repeated = [id_ for id_ in dict.fromkeys(ids) if ids.count(id_) > 1]
    if repeated:
        raise UserError(path, f"names {listed(repeated)} twice in fold {number}", "keep each once")
    for subset, members in (("train", train), ("validation", validation)):
        if not members:
            raise UserError(path, f"leaves {subset} of fold {number} empty", "name at least one case")
    held = [id_ for id_ in train if by_id[id_].subset != TRAINING]
    if held:
        problem = f"trains on {listed(held)} in fold {number}, which overview.csv keeps for validation"
        raise UserError(path, problem, "move it to validation or change the subset in overview.csv")
    trained = {by_id[id_].patient for id_ in train}
    both = sorted({by_id[id_].patient for id_ in (*validation, *test)} & trained)
    if both:
        message = "%s: fold %d trains and validates on the same patients (%s): its scores will be too good"
        log.warning(message, path, number, listed(both))
    return Fold(train, validation, test)


def _known(path: str | Path, ids: Sequence[str], by_id: Mapping[str, CaseFingerprint]) -> tuple[str, ...]:
    stripped = tuple(id_ if id_ in by_id else volume_id(Path(id_)) for id_ in ids)
    unknown = [id_ for id_, known in zip(ids, stripped, strict=True) if known not in by_id]
    if unknown:
        hint = f"known are {listed(sorted(by_id))}"
        raise UserError(path, f"names cases that the data set lacks: {listed(unknown)}", hint)
    return stripped
