"""Split protocols: how a paper deals its data into training, validation and test.

`patient` deals patients, so that all series of one stay together. `slices` deals every slice on its own, as some papers
do. Neighbouring slices look alike, and T1 and T2 of one patient often carry the very same mask: what is scored then has
its likeness among what was trained on. That protocol is here to reproduce their figures, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import from_plain, to_plain
from autospine.fingerprint.case import CaseFingerprint
from autospine.planning.recipe import SplitSettings
from autospine.planning.splits import Fold, FoldSlices

VERSION = 1
FILE = "split.json"
PARTS = ("training", "validation", "test")
LEAK = (
    "slices of the same patients are trained on and scored: neighbouring slices look alike, and T1 and T2 of one "
    "patient often carry the same mask, so the scores say how well gaps between known slices are filled, not how "
    "well a new patient is segmented"
)

Protocol = Literal["folds", "patient", "slices"]


@dataclass(frozen=True)
class Split:
    """What split.json holds: who trained, validated and was tested, and how that was dealt.

    Attributes:
        protocol: "folds" (the work folder's), "patient" or "slices".
        fold: The cases and slices.
        reason: How they were dealt, in a sentence.
        version: Of the file's form.
    """

    protocol: Protocol
    fold: Fold
    reason: str
    version: int = VERSION

    @property
    def warning(self) -> str:
        """What the protocol does to the scores; empty if nothing is to be said."""
        return f"split by slices: {LEAK}" if self.protocol == "slices" else ""

    def save(self, folder: Path) -> None:
        """Writes split.json into a model's folder."""
        write_json(folder / FILE, to_plain(self))

    @classmethod
    def load(cls, folder: Path) -> Split:
        """Reads a model folder's split.json.

        Raises:
            UserError: It is missing, damaged or of another version.
        """
        path = folder / FILE
        return from_plain(cls, read_json(path, "train this fold again"), str(path))


def patient_splits(cases: Sequence[CaseFingerprint], settings: SplitSettings) -> tuple[Split, ...]:
    """Deals patients, with all of their series.

    Args:
        cases: Those that may be trained on, one or more.
        settings: Shares of the patients, number of folds.

    Raises:
        UserError: Fewer patients than parts.
    """
    patients = list(dict.fromkeys(case.patient for case in cases))
    splits = []
    for parts in _rounds(len(patients), settings, "patient"):
        train, validation, test = (_cases_of(cases, {patients[k] for k in part}) for part in parts)
        fold = Fold(train, validation, test)
        splits.append(Split("patient", fold, _reason(parts, settings, "patient")))
    return tuple(splits)


def _cases_of(cases: Sequence[CaseFingerprint], patients: set[str]) -> tuple[str, ...]:
    return tuple(case.id for case in cases if case.patient in patients)


def slice_splits(slices: Mapping[str, Sequence[int]], settings: SplitSettings) -> tuple[Split, ...]:
    """Deals every slice on its own.

    Args:
        slices: Indices along the plan's view axis that take part, by case id.
        settings: Shares of the slices, number of folds.

    Raises:
        UserError: Fewer slices than parts.
    """
    every = [(case, k) for case, indices in slices.items() for k in indices]
    splits = []
    for parts in _rounds(len(every), settings, "slice"):
        train, validation, test = (_by_case([every[k] for k in sorted(part)]) for part in parts)
        fold = Fold(tuple(train), tuple(validation), tuple(test), FoldSlices(train, validation, test))
        splits.append(Split("slices", fold, _reason(parts, settings, "slice")))
    return tuple(splits)


def _by_case(pairs: Sequence[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for case, k in pairs:
        found.setdefault(case, []).append(k)
    return {case: tuple(indices) for case, indices in found.items()}


def _rounds(count: int, settings: SplitSettings, what: str) -> list[list[np.ndarray]]:
    """Indices of training, validation and test, per fold: windows on a shuffled ring."""
    train, validation, test = part_sizes(count, settings.shares, what)
    ring = np.random.default_rng(settings.seed).permutation(count)
    made = min(settings.folds, count)
    rounds = []
    for number in range(made):
        turned = np.roll(ring, -(number * count // made))
        first = test + validation
        rounds.append([turned[first : first + train], turned[test:first], turned[:test]])
    return rounds


def part_sizes(count: int, shares: Sequence[float], what: str = "patient") -> tuple[int, ...]:
    """How many of `count` each part gets: in proportion, rounded, and at least one if its share is above 0.

    Raises:
        UserError: There are fewer than parts.

    Example:
        >>> part_sizes(172, (138, 4, 30)), part_sizes(9, (0.8, 0.1, 0.1)), part_sizes(3, (0.7, 0.05, 0.25))
        ((138, 4, 30), (7, 1, 1), (1, 1, 1))
    """
    wanted = [share > 0 for share in shares]
    if count < sum(wanted):
        parts = " and ".join(part for part, asked in zip(PARTS, wanted, strict=True) if asked)
        problem = f"has {count} {what}{'' if count == 1 else 's'} for {parts}"
        raise UserError("the data set", problem, "add scans, or name your own with autospine_plan --splits FILE")
    exact = [count * share / sum(shares) for share in shares]
    sizes = [max(int(size), int(asked)) for size, asked in zip(exact, wanted, strict=True)]
    while sum(sizes) != count:
        step = 1 if sum(sizes) < count else -1
        # The part that is furthest from its share gives or takes; none is emptied.
        open_to = [k for k, size in enumerate(sizes) if wanted[k] and (step > 0 or size > 1)]
        sizes[max(open_to, key=lambda k: step * (exact[k] - sizes[k]))] += step
    return tuple(sizes)


def _reason(parts: Sequence[np.ndarray], settings: SplitSettings, what: str) -> str:
    total = sum(settings.shares)
    counts = ", ".join(f"{len(part)} {name}" for part, name in zip(parts, PARTS, strict=True))
    shares = ", ".join(f"{share / total:.3g}" for share in settings.shares)
    return f"dealt at random by {what} in shares of {shares} (seed {settings.seed}): {counts}"


def override(settings: SplitSettings | None, by: str | None) -> SplitSettings | None:
    """What --split makes of a recipe's split: its shares, dealt the other way.

    Args:
        settings: The recipe's; None for the work folder's folds.
        by: "patient", "slices", or None for the recipe's own.
    """
    if by == "slices":
        return replace(settings or SplitSettings(), by="slices")
    if by == "patient" and settings is not None:
        return replace(settings, by="patient")
    return settings
