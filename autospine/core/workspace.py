"""The work folder: everything that a run makes, in fixed places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain

SOURCES_VERSION = 2  # 2: source, datasets


@dataclass(frozen=True)
class SourceCase:
    """A case's files as text, for JSON."""

    id: str
    images: tuple[str, ...]
    mask: str
    source: str = ""  # name of its data set, where several are joined

    @classmethod
    def of(cls, id_: str, images: Iterable[Path], mask: Path, source: str = "") -> SourceCase:
        """Return a case with absolute paths."""
        return cls(id_, tuple(str(path.resolve()) for path in images), str(mask.resolve()), source)


@dataclass(frozen=True)
class Sources:
    """Where a work folder's cases came from, as absolute paths."""

    datasets: tuple[str, ...]
    cases: tuple[SourceCase, ...]  # every annotated case
    version: int = SOURCES_VERSION  # of the file's form


@dataclass(frozen=True)
class WorkFolder:
    """Paths of one work folder."""

    root: Path

    @property
    def fingerprint(self) -> Path:
        """Return the file of the data set's fingerprint."""
        return self.root / "fingerprint.json"

    @property
    def plans(self) -> Path:
        """Return the file of plans with their reasons."""
        return self.root / "plans.json"

    @property
    def splits(self) -> Path:
        """Return the file of folds."""
        return self.root / "splits.json"

    @property
    def sources(self) -> Path:
        """Return the file that says where the cases lie."""
        return self.root / "sources.json"

    @property
    def cache(self) -> Path:
        """Return the folder of single cases' figures, from which planning continues."""
        return self.root / "fingerprint"

    def preprocessed(self, plan: str) -> Path:
        """Return the folder of a plan's stored cases."""
        return self.root / "preprocessed" / plan

    def model(self, trainer: str, plan: str, recipe: str, fold: str) -> Path:
        """Return the folder of a model."""
        return self.root / "models" / trainer / plan / recipe / f"fold_{fold}"

    def check(self) -> None:
        """Check that planning has been here.

        Raises:
            UserError: It has not.
        """
        if not self.plans.exists():
            raise UserError(self.root, "holds no plans", "run autospine_plan DATASET WORK first")

    def save_sources(self, datasets: Iterable[Path], cases: tuple[SourceCase, ...]) -> None:
        """Write where the data sets and their annotated cases lie."""
        write_json(self.sources, to_plain(Sources(tuple(str(path.resolve()) for path in datasets), cases)))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Return the folders of the data sets."""
        return self._sources().datasets

    def load_sources(self) -> dict[str, SourceCase]:
        """Return the files of the annotated cases by case id."""
        return {case.id: case for case in self._sources().cases}

    def _sources(self) -> Sources:
        data = read_json(self.sources, "run autospine_plan again")
        check_version(data, SOURCES_VERSION, self.sources, "run autospine_plan again")
        return from_plain(Sources, data, str(self.sources))
