"""Which cases train and which validate: folds that keep a patient's series together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import from_plain, to_plain
from autospine.dataset.cases import listed
from autospine.dataset.metadata import TRAINING
from autospine.dataset.verify import identity_problems, raise_together
from autospine.fingerprint.fingerprint import CaseFingerprint
from autospine.volumes import volume_id

log = logging.getLogger(__name__)

VERSION = 1
COUNT_WEIGHT = 2.0  # equal fold sizes matter more than equal shares of labels or sequences
FORM = (
    'write [{"train": [ids], "val": [ids]}, ...] as nnU-Net does, or {"train": [...], "validation": [...]} '
    '(and "test": [...] where other cases are scored)'
)


@dataclass(frozen=True)
class FoldSlices:
    """Which slices of its cases each part of a fold has, where slices are dealt one by one.

    Attributes:
        train, validation, test: Indices along the plan's view axis, ascending, by case id.
    """

    train: dict[str, tuple[int, ...]]
    validation: dict[str, tuple[int, ...]]
    test: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Part:
    """Cases of one part of a fold, and their slices.

    Attributes:
        name: "validation" or "test".
        cases: Ids.
        slices: By case id; None for whole cases.
    """

    name: str
    cases: tuple[str, ...]
    slices: dict[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Fold:
    """Case ids of one fold.

    Attributes:
        train: Trained on.
        validation: Looked at while training: they choose the weights where a recipe keeps the best.
        test: Seen by nobody before the scores; () where the validation cases are scored.
        slices: None for whole cases. Else a case may stand in several parts, each slice in one.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()
    slices: FoldSlices | None = None

    @property
    def every(self) -> tuple[str, ...]:
        """Every case once."""
        return tuple(dict.fromkeys((*self.train, *self.validation, *self.test)))

    @property
    def scored(self) -> Part:
        """What is scored after training: the test part, or the validation part where there is no test part."""
        if self.test:
            return Part("test", self.test, self.slices.test if self.slices else None)
        return Part("validation", self.validation, self.slices.validation if self.slices else None)


@dataclass(frozen=True)
class Splits:
    """Every fold of a data set.

    Attributes:
        version: Of the file format.
        folds: At least one.
        held_out: Cases of the validation subset, in no fold.
        reason: How the folds came about, in a sentence.
        given: By the user: recipes that would deal patients themselves take these instead.
    """

    version: int
    folds: tuple[Fold, ...]
    held_out: tuple[str, ...]
    reason: str
    given: bool = False

    def save(self, path: str | Path) -> None:
        """Writes JSON, atomically; `read_splits` reads it."""
        write_json(path, to_plain(self))


def make_splits(cases: Sequence[CaseFingerprint], folds: int = 5, seed: int = 0) -> Splits:
    """Deals patients into folds of like size, like labels and like sequences.

    Patients are dealt one by one, those with most first, each to the fold that holds least of what the
    patient brings. Every training case validates exactly once; no patient stands on both sides.

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
    made = min(folds, len(patients))
    fold_of = _deal(training, patients, made, seed)
    held_out = tuple(case.id for case in cases if case.subset != TRAINING)
    return Splits(
        version=VERSION,
        folds=tuple(_fold(training, fold_of, number) for number in range(made)),
        held_out=held_out,
        reason=_reason(folds, made, len(patients), len(training), len(held_out)),
    )


def _fold(training: Sequence[CaseFingerprint], fold_of: Mapping[str, int], number: int) -> Fold:
    return Fold(
        train=tuple(case.id for case in training if fold_of[case.patient] != number),
        validation=tuple(case.id for case in training if fold_of[case.patient] == number),
    )


def _reason(asked: int, made: int, patients: int, cases: int, held_out: int) -> str:
    fewer = f" ({asked} were asked for, but there are no more patients)" if made < asked else ""
    held = f"; {held_out} validation case{'s' if held_out > 1 else ''} held out" if held_out else ""
    return (
        f"{made} folds{fewer} of {patients} patients with {cases} cases, grouped by patient, balanced by"
        f" label and sequence{held}"
    )


def _deal(training: Sequence[CaseFingerprint], patients: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """Fold number of each patient."""
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
    """What each patient brings (patients, features): share of all cases, of each sequence, each label.

    A column sums to its weight, so what is rare weighs as much as what is common.
    """
    sequences = sorted({case.sequence for case in training})
    labels = sorted({label for case in training for label in case.centroids})
    row = {patient: index for index, patient in enumerate(patients)}
    table = np.zeros((len(patients), 1 + len(sequences) + len(labels)))
    for case in training:
        table[row[case.patient], 0] += 1
        table[row[case.patient], 1 + sequences.index(case.sequence)] += 1
        for label in case.centroids:
            table[row[case.patient], 1 + len(sequences) + labels.index(label)] += 1
    weights = [COUNT_WEIGHT]
    weights += [len(sequences) ** -0.5] * len(sequences) + [max(1, len(labels)) ** -0.5] * len(labels)
    return table / table.sum(axis=0) * weights


def read_splits(path: str | Path, cases: Sequence[CaseFingerprint]) -> Splits:
    """Reads the user's own folds.

    Args:
        path: JSON: what `Splits.save` wrote, nnU-Net's list of {"train", "val"}, or one
            {"train", "validation"}, both with "test" if wanted. Ids may carry a file suffix.
        cases: Every case of the data set.

    Raises:
        UserError: Another form, an unknown id, an id on both sides or twice, an empty side, or a case of
            the validation subset among those to train on.

    A patient on both sides is only warned about, in the log: it is the user's word.
    """
    data = read_json(path, FORM)
    if isinstance(data, Mapping) and "folds" in data:
        if data.get("version") != VERSION:
            raise UserError(path, f"has version {data.get('version')}, not {VERSION}", "run autospine_plan again")
        read = from_plain(Splits, data, str(path))
        folds, reason = read.folds, read.reason
        given = read.given or any(fold.test for fold in folds)  # nobody else names a test part
    else:
        entries = data if isinstance(data, list) else [data]
        folds = tuple(_foreign_fold(path, entry) for entry in entries)
        reason, given = f"given by {Path(path).name}", True
    if not folds:
        raise UserError(path, "holds no fold", FORM)
    by_id = {case.id: case for case in cases}
    folds = tuple(_checked(path, number, fold, by_id) for number, fold in enumerate(folds))
    used = {id_ for fold in folds for id_ in fold.every}
    held_out = tuple(case.id for case in cases if case.subset != TRAINING and case.id not in used)
    return Splits(VERSION, folds, held_out, reason, given)


def _foreign_fold(path: str | Path, entry: Any) -> Fold:
    sides = []
    for names in (("train",), ("validation", "val")):
        ids = next((entry[name] for name in names if isinstance(entry, Mapping) and name in entry), None)
        if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
            raise UserError(path, f"lacks a list of ids called {names[0]!r}", FORM)
        sides.append(tuple(ids))
    test = entry.get("test", [])
    if not isinstance(test, list) or not all(isinstance(id_, str) for id_ in test):
        raise UserError(path, 'has a "test" that is no list of ids', FORM)
    return Fold(sides[0], sides[1], tuple(test))


def _checked(path: str | Path, number: int, fold: Fold, by_id: Mapping[str, CaseFingerprint]) -> Fold:
    """The fold with bare ids, or an error."""
    train, validation = _known(path, fold.train, by_id), _known(path, fold.validation, by_id)
    test = _known(path, fold.test, by_id)
    every = [*train, *validation, *test]
    repeated = [id_ for id_ in dict.fromkeys(every) if every.count(id_) > 1]
    if repeated:
        raise UserError(path, f"names {listed(repeated)} twice in fold {number}", "keep each once")
    for side, ids in (("train", train), ("validation", validation)):
        if not ids:
            raise UserError(path, f"leaves {side} of fold {number} empty", "name at least one case")
    held = [id_ for id_ in train if by_id[id_].subset != TRAINING]
    if held:
        problem = f"trains on {listed(held)} in fold {number}, which overview.csv keeps for validation"
        raise UserError(path, problem, "move it to validation or change the subset in overview.csv")
    _warn_of_leaks(path, number, train, (*validation, *test), by_id)
    return Fold(train, validation, test)


def _known(path: str | Path, ids: Sequence[str], by_id: Mapping[str, CaseFingerprint]) -> tuple[str, ...]:
    bare = [id_ if id_ in by_id else volume_id(Path(id_)) for id_ in ids]
    unknown = [id_ for id_, known in zip(ids, bare, strict=True) if known not in by_id]
    if unknown:
        hint = f"known are {listed(sorted(by_id))}"
        raise UserError(path, f"names cases that the data set lacks: {listed(unknown)}", hint)
    return tuple(bare)


def _warn_of_leaks(
    path: str | Path,
    number: int,
    train: Sequence[str],
    others: Sequence[str],
    by_id: Mapping[str, CaseFingerprint],
) -> None:
    trained = {by_id[id_].patient for id_ in train}
    both = sorted({by_id[id_].patient for id_ in others} & trained)
    if both:
        log.warning(
            "%s: fold %d trains and validates on the same patients (%s): its scores will be too good",
            path,
            number,
            listed(both),
        )
