"""The card of a model that is passed on: what it learnt from, what it was not shown, and on which terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.models.files import PROVENANCE

VERSION = 1
TERMS = "The weights are for research only, not a medical device."
UNSTATED = "none stated"
GAP = 1.4  # slice distances whose quotient is larger have something between them that was not seen
MR_CONTRASTS = ("T1", "T2", "STIR or TIRM", "gradient echo (FFE)", "water-fat (Dixon)", "proton density")
Range = tuple[float, float]


@dataclass(frozen=True)
class SeenScan:
    """A scan that a model has learnt from.

    The checksum is that of the fingerprint: 64 bits over the shape and the values of the canonical image, so that a
    scan is known again in any file format. Two scans of a million share one with a probability of 3 in 10^8.
    """

    id: str
    image: str  # checksum of its voxels, 16 hexadecimal digits; empty if it is not known
    shape: tuple[int, int, int]  # voxels along each canonical axis


@dataclass(frozen=True)
class TrainingSource:
    """One of the data sets that a model learnt from."""

    name: str  # as its cases' ids begin, or its folder's name
    title: str  # what it is, with its citation
    licence: str = UNSTATED
    address: str = ""  # where it can be had
    synthetic: bool = False  # phantoms, not patients
    contrasts: tuple[str, ...] = ()  # as `MR_CONTRASTS` calls them
    trained_on: tuple[str, ...] = ()  # ids of its cases; their checksums stand in model.json
    held_out: tuple[str, ...] = ()  # ids of its cases that were kept aside
    slice_mm: tuple[float, ...] = ()  # distances of slices that occur in it, ascending


@dataclass(frozen=True)
class LearntStructure:
    """One structure of the masks."""

    name: str  # its kind, such as "vertebra"
    learnt_from: Literal["real masks", "phantoms only"]
    cases: int  # that show it: real ones, or phantoms where there are no others


@dataclass(frozen=True)
class TrainingSummary:
    """What the log of a training says."""

    trainer: str
    recipe: str
    updates: int
    epochs: int
    seed: int | None
    hours: float
    loss: float  # of the last epoch
    validation_dice: float | None  # on patches, of the last epoch
    started_from: str = ""  # the model whose weights it started from


@dataclass(frozen=True)
class Provenance:
    """Content of card.json."""

    name: str  # under which it is installed
    release: str  # such as "1.0"
    summary: str  # what it is for, in a sentence
    labels: str | None  # scheme of its masks where nobody asks for another; None: as without a card
    sources: tuple[TrainingSource, ...]
    structures: tuple[LearntStructure, ...]
    training: TrainingSummary
    not_seen: tuple[str, ...] = ()  # what the sources do not tell, such as "axial series"
    half_precision: bool = False  # whether the weights are stored as float16; they are computed with as float32
    terms: str = TERMS
    version: int = VERSION  # of this file's form

    @property
    def title(self) -> str:
        """Return name and release."""
        return f"{self.name} {self.release}"

    @property
    def slice_mm(self) -> tuple[Range, ...]:
        """Return the ranges of slice distances in real scans."""
        return ranges(mm for source in self.sources if not source.synthetic for mm in source.slice_mm)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Return the contrasts of real scans, each once."""
        return tuple(dict.fromkeys(c for source in self.sources if not source.synthetic for c in source.contrasts))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Return what no real scan of the training was, a few words each."""
        known = {contrast.lower() for contrast in self.contrasts}
        contrasts = [contrast for contrast in MR_CONTRASTS if known and contrast.lower() not in known]
        phantoms = [item.name for item in self.structures if item.learnt_from == "phantoms only"]
        return (
            *gaps(self.slice_mm),
            *contrasts,
            *self.not_seen,
            *(f"{name} in real masks (phantoms only)" for name in phantoms),
        )

    def save(self, folder: Path) -> None:
        """Write card.json."""
        write_json(folder / PROVENANCE, to_plain(self))

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Provenance:
        """Read `to_plain`'s values.

        Raises:
            UserError: Another version, an unknown key or a wrong type.
        """
        check_version(data, VERSION, where, "install the model again")
        return from_plain(cls, data, where)

    @classmethod
    def load(cls, folder: Path) -> Provenance | None:
        """Read a folder's card.json; None where there is none.

        Raises:
            UserError: It is damaged or of another version.
        """
        path = folder / PROVENANCE
        return cls.from_dict(read_json(path), str(path)) if path.exists() else None


def ranges(distances: Iterable[float]) -> tuple[Range, ...]:
    """Join distances into ranges.

    Example:
        >>> ranges([4.0, 0.9, 4.4, 1.0])
        ((0.9, 1.0), (4.0, 4.4))
    """
    found: list[Range] = []
    for mm in sorted(set(distances)):
        if found and mm <= GAP * found[-1][1]:
            found[-1] = found[-1][0], mm
        else:
            found.append((mm, mm))
    return tuple(found)


def gaps(seen: Sequence[Range]) -> tuple[str, ...]:
    """Say which slice distances lie outside ranges.

    Example:
        >>> gaps([(0.9, 1.0), (4.0, 4.4)])
        ('slices under 0.9 mm', 'slices of 1 to 4 mm', 'slices over 4.4 mm')
    """
    if not seen:
        return ()
    between = [f"slices of {low[1]:g} to {high[0]:g} mm" for low, high in pairwise(seen)]
    return (f"slices under {seen[0][0]:g} mm", *between, f"slices over {seen[-1][1]:g} mm")
