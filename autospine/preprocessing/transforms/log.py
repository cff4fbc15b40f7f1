"""Tables of what preprocessing steps did: a CSV beside each prepared case, and one for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from autospine.core.files import write_text
from autospine.core.tables import csv_text
from autospine.dataset.metadata import read_table
from autospine.volumes.folders import natural_key

CASE_COLUMNS = ("id", "patient", "sequence")


@dataclass(frozen=True)
class TransformTable:
    """What one step did to one case.

    Attributes:
        name: Of the step.
        columns: Their names.
        rows: As many cells each.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Summary:
    """What a step says about all cases.

    Attributes:
        lines: For the log.
        fault, mend: Why nothing can be trained on what is left, and what to do about it; empty if all is well.
    """

    lines: tuple[str, ...]
    problem: str = ""
    hint: str = ""


@runtime_checkable
class SummarisedTransform(Protocol):
    """What a step offers whose tables are worth a summary."""

    def summary(self, rows: Sequence[Mapping[str, str]]) -> Summary:
        """Of the rows of all cases, with the columns id, patient and sequence in front."""


def write_case_table(folder: Path, case: tuple[str, str, str], table: TransformTable) -> None:
    """Writes `<id>.<step>.csv`.

    Args:
        folder: Of the prepared cases.
        case: Its id, patient and sequence.
        table: Of a step.
    """
    rows = [(*case, *row) for row in table.rows]
    write_text(_path(folder, case[0], table.name), csv_text((*CASE_COLUMNS, *table.columns), rows))


def read_case_tables(folder: Path, ids: Sequence[str], name: str) -> list[dict[str, str]]:
    """The rows of a step's tables of some cases; none for a step that made none."""
    paths = [_path(folder, case_id, name) for case_id in ids]
    return [row for path in paths if path.exists() for row in read_table(path)]


def write_table(folder: Path, name: str) -> None:
    """Writes `<step>.csv`: the rows of every case that the folder holds."""
    ending = f".{name}.csv"
    paths = sorted(folder.glob(f"*{ending}"), key=natural_key)
    rows = read_case_tables(folder, [path.name.removesuffix(ending) for path in paths], name)
    if rows:
        write_text(folder / f"{name}.csv", csv_text(list(rows[0]), [list(row.values()) for row in rows]))


def _path(folder: Path, case_id: str, name: str) -> Path:
    return folder / f"{case_id}.{name}.csv"
