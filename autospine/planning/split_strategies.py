"""Split strategies: how a paper splits its data into training, validation and test.

`patient` splits patients, so that all series of one stay together. `slices` splits slice by slice, as some papers do.
Neighbouring slices look alike, and T1 and T2 of one patient often carry the very same mask: what is scored then has its
likeness among what was trained on. That strategy is here to reproduce their figures, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.planning.splits import Fold, FoldSlices

if TYPE_CHECKING:
    from autospine.fingerprint.case import CaseFingerprint


VERSION = 2  # 2: strategy
FILE = "split.json"
SUBSETS = ("training", "validation", "test")
LEAK = (
    "slices of the same patients are trained on and scored: neighbouring slices look alike, and T1 and T2 of one "
    "patient often carry the same mask, so the scores say how well gaps between known slices are filled, not how "
    "well a new patient is segmented"
)

SplitStrategy = Literal["folds", "patient", "slices"]


@dataclass(frozen=True)
class SplitSettings:
    """How a paper splits its data.

    Raises:
        ValueError: Nothing to train on, nothing to score, or no fold.
    """

    # "patient" keeps all series of a patient together. "slices" splits slice by slice, as some papers do: neighbouring
    # slices are then in different subsets, and scores are too high.
    by: Literal["patient", "slices"] = "patient"
    # train, validation, test: shares, or any numbers in proportion (138, 4, 30). A subset with a share above 0 gets at
    # least one patient, or slice.
    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    folds: int = 5  # how many; their scored subsets lie at even distances along the shuffled patients, or slices
    seed: int = 0  # of the shuffling; the training's own seed does not move it

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or not self.train or not (self.validation or self.test):
            raise ValueError(f"shares of {self.train:g}, {self.validation:g} and {self.test:g}")
        if self.folds < 1:
            raise ValueError(f"{self.folds} folds")

    @property
    def shares(self) -> tuple[float, float, float]:
        """Return the shares of training, validation and test."""
        return self.train, self.validation, self.test


@dataclass(frozen=True)
class Split:
    """What split.json holds: who trained, validated and was tested, and by which strategy."""

    strategy: SplitStrategy  # "folds" (the work folder's), "patient" or "slices"
    fold: Fold  # the cases and slices
    reason: str  # how they were split, in a sentence
    version: int = VERSION  # of the file format

    @property
    def warning(self) -> str:
        """Return what the strategy does to the scores; empty if there is nothing to warn of."""
        return f"split by slices: {LEAK}" if self.strategy == "slices" else ""

    def save(self, folder: Path) -> None:
        """Write split.json into a model's folder."""
        write_json(folder / FILE, to_plain(self))

    @classmethod
    def load(cls, folder: Path) -> Split:
        """Read the split.json of a model's folder.

        Raises:
            UserError: It is missing, damaged or of another version.
        """
        path, hint = folder / FILE, "train this fold again"
        data = read_json(path, hint)
        check_version(data, VERSION, path, hint)
        return from_plain(cls, data, str(path))


def patient_splits(cases: Sequence[CaseFingerprint], settings: SplitSettings) -> tuple[Split, ...]:
    """Split patients, each with all of their series.

    Raises:
        UserError: Fewer patients than subsets.
    """
    patients = list(dict.fromkeys(case.patient for case in cases))
    splits = []
    for subsets in _rotations(len(patients), settings, "patient"):
        chosen = [{patients[k] for k in subset} for subset in subsets]
        train, validation, test = (tuple(case.id for case in cases if case.patient in names) for names in chosen)
        splits.append(Split("patient", Fold(train, validation, test), _reason(subsets, settings, "patient")))
    return tuple(splits)


def slice_splits(slices: Mapping[str, Sequence[int]], settings: SplitSettings) -> tuple[Split, ...]:
    """Split slice by slice, of the slices that take part, by case id.

    Raises:
        UserError: Fewer slices than subsets.
    """
    pairs = [(case, k) for case, indices in slices.items() for k in indices]
    splits = []
    for subsets in _rotations(len(pairs), settings, "slice"):
        train, validation, test = (_by_case([pairs[k] for k in sorted(subset)]) for subset in subsets)
        fold = Fold(tuple(train), tuple(validation), tuple(test), FoldSlices(train, validation, test))
        splits.append(Split("slices", fold, _reason(subsets, settings, "slice")))
    return tuple(splits)


def _by_case(pairs: Sequence[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    indices: dict[str, tuple[int, ...]] = {}
    for case, k in pairs:
        indices[case] = (*indices.get(case, ()), k)
    return indices


def _rotations(count: int, settings: SplitSettings, unit: str) -> list[list[np.ndarray]]:
    """Compute indices of training, validation and test for each fold: windows on a shuffled ring."""
    train, validation, test = subset_sizes(count, settings.shares, unit)
    ring, first = np.random.default_rng(settings.seed).permutation(count), test + validation
    folds = min(settings.folds, count)
    rings = [np.roll(ring, -(number * count // folds)) for number in range(folds)]
    return [[turned[first : first + train], turned[test:first], turned[:test]] for turned in rings]


def subset_sizes(count: int, shares: Sequence[float], unit: str = "patient") -> tuple[int, ...]:
    """Compute how many of `count` each subset gets: in proportion, rounded, at least one if its share is above 0.

    Raises:
        UserError: There are fewer than subsets.

    Example:
        >>> subset_sizes(172, (138, 4, 30)), subset_sizes(9, (0.8, 0.1, 0.1)), subset_sizes(3, (0.7, 0.05, 0.25))
        ((138, 4, 30), (7, 1, 1), (1, 1, 1))
    """
    wanted = [share > 0 for share in shares]
    if count < sum(wanted):
        names = " and ".join(name for name, asked in zip(SUBSETS, wanted, strict=True) if asked)
        problem = f"has {count} {unit}{'' if count == 1 else 's'} for {names}"
        raise UserError("the data set", problem, "add scans, or name your own with autospine_plan --splits FILE")
    exact = [count * share / sum(shares) for share in shares]
    sizes = [max(int(size), int(asked)) for size, asked in zip(exact, wanted, strict=True)]
    while sum(sizes) != count:
        change = 1 if sum(sizes) < count else -1
        # The subset that is furthest from its share gains or loses one; none is emptied.
        open_to = [k for k, size in enumerate(sizes) if wanted[k] and (change > 0 or size > 1)]
        sizes[max(open_to, key=lambda k: change * (exact[k] - sizes[k]))] += change
    return tuple(sizes)


def _reason(subsets: Sequence[np.ndarray], settings: SplitSettings, unit: str) -> str:
    total = sum(settings.shares)
    counts = ", ".join(f"{len(subset)} {name}" for subset, name in zip(subsets, SUBSETS, strict=True))
    shares = ", ".join(f"{share / total:.3g}" for share in settings.shares)
    return f"split at random by {unit} in shares of {shares} (seed {settings.seed}): {counts}"


def override(settings: SplitSettings | None, by: str | None) -> SplitSettings | None:
    """Return what --split makes of a recipe's split: the same shares by another strategy.

    Args:
        settings: The recipe's; None for the work folder's folds.
        by: "patient", "slices", or None for the recipe's own.
    """
    if by == "slices":
        return replace(settings or SplitSettings(), by="slices")
    if by == "patient" and settings is not None:
        return replace(settings, by="patient")
    return settings
