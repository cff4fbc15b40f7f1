"""Tables of what transforms did: a CSV beside each transformed case, and one for all of them."""

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
    """What one transform did to one case."""

    name: str  # of the transform
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # as many cells each


@dataclass(frozen=True)
class TransformSummary:
    """What a transform did to all cases."""

    lines: tuple[str, ...]  # for the log
    # problem, hint: why nothing can be trained on what is left, and what to do about it; empty if all is well.
    problem: str = ""
    hint: str = ""


@runtime_checkable
class SummarisedTransform(Protocol):
    """Transform whose tables are worth a summary."""

    def summary(self, rows: Sequence[Mapping[str, str]]) -> TransformSummary:
        """Summarise the rows of all cases, with the columns id, patient and sequence in front."""


def write_case_table(folder: Path, case: tuple[str, str, str], table: TransformTable) -> None:
    """Write `<id>.<transform>.csv` of a case: its id, patient and sequence."""
    rows = [(*case, *row) for row in table.rows]
    write_text(folder / f"{case[0]}.{table.name}.csv", csv_text((*CASE_COLUMNS, *table.columns), rows))


def read_case_tables(folder: Path, ids: Sequence[str], name: str) -> list[dict[str, str]]:
    """Read the rows of a transform's tables of some cases; none for a transform that made none."""
    paths = [folder / f"{case_id}.{name}.csv" for case_id in ids]
    return [row for path in paths if path.exists() for row in read_table(path)]


def write_table(folder: Path, name: str) -> None:
    """Write `<transform>.csv`: the rows of every case that the folder holds."""
    rows = [row for path in sorted(folder.glob(f"*.{name}.csv"), key=natural_key) for row in read_table(path)]
    if rows:
        write_text(folder / f"{name}.csv", csv_text(list(rows[0]), [list(row.values()) for row in rows]))
