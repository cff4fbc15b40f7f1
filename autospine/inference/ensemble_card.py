"""ensemble.json, which makes a folder of models an ensemble and gives each member its weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from pathlib import Path

from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.core.version import __version__

VERSION = 1
ENSEMBLE = "ensemble.json"
PREFIX = "member_"  # of the members' folders
ROUNDING = 1e-6


@dataclass(frozen=True)
class Member:
    """One model of an ensemble."""

    folder: str  # relative to ensemble.json
    weight: float  # share in the blend, above 0
    digest: str  # SHA-256 of its weights, so that another model in its folder is noticed


@dataclass(frozen=True)
class EnsembleCard:
    """Content of ensemble.json.

    Raises:
        ValueError: The weights do not sum to one.
    """

    members: tuple[Member, ...]  # those that predict; a member without weight is left out
    reason: str  # how the weights were chosen, in a sentence
    autospine: str = __version__  # version that made it
    version: int = VERSION  # of this file's form

    def __post_init__(self) -> None:
        if problem := weights_problem([member.weight for member in self.members]):
            raise ValueError(problem)
        if any(member.weight == 0 for member in self.members):
            raise ValueError("a member has the weight 0")

    def save(self, folder: Path) -> None:
        """Write ensemble.json, which makes the folder an ensemble."""
        write_json(folder / ENSEMBLE, to_plain(self))

    @classmethod
    def load(cls, folder: Path) -> EnsembleCard:
        """Read a folder's ensemble.json.

        Raises:
            UserError: It is missing, damaged, or of another version.
        """
        path = folder / ENSEMBLE
        data = read_json(path, "name a folder that autospine_ensemble made")
        check_version(data, VERSION, path, "make the ensemble again")
        return from_plain(cls, data, str(path))


def weights_problem(weights: Sequence[float]) -> str:
    """Return what is wrong with weights that should be shares of one; empty if nothing is.

    Example:
        >>> weights_problem([0.85, 0.25])
        'the weights sum to 1.1, not to 1'
    """
    if not all(isfinite(weight) and weight >= 0 for weight in weights):
        return "a weight is below 0 or no number"
    total = fsum(weights)
    return "" if abs(total - 1) <= ROUNDING else f"the weights sum to {total:.6g}, not to 1"
