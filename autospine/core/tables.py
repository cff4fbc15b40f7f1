"""Tables, written as aligned text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan

GAP = "  "  # between columns of aligned text
DISCLAIMER = "For research, not a medical device."
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell starts that a spreadsheet would compute
NONE = "-"  # stands for a figure that does not exist


@dataclass(frozen=True)
class Table:
    """Rows of text, as the terminal, a Markdown page and an HTML page show them."""

    title: str  # what the rows are about
    rows: tuple[tuple[str, ...], ...]  # equally many cells each; the first row is the header
    note: str = ""  # what a reader has to know, or nothing
    # How many of the first columns hold text, aligned left; the others hold figures, aligned right.
    text_columns: int = 1

    def as_text(self, width: int | None = None) -> str:
        """Return aligned columns; those that do not fit into `width` letters stand in a block below the others."""
        columns = [self._padded(index, cells) for index, cells in enumerate(zip(*self.rows, strict=True))]
        return "\n\n".join(_block([columns[0], *block]) for block in _blocks(columns, width or sys.maxsize))

    def _padded(self, index: int, cells: Sequence[str]) -> list[str]:
        size = max(map(len, cells))
        return [cell.ljust(size) if index < self.text_columns else cell.rjust(size) for cell in cells]

    def as_markdown(self) -> str:
        """Return the rows as a Markdown table, without title and note."""
        head, *rest = ["| " + " | ".join(row) + " |" for row in self.rows]
        rule = "|---" * self.text_columns + "|---:" * (len(self.rows[0]) - self.text_columns) + "|"
        return "\n".join([head, rule, *rest])

    def as_section(self) -> str:
        """Return the rows as a section of a Markdown page, below a heading and above their note."""
        return "\n\n".join(part for part in (f"## {self.title}", self.as_markdown(), self.note) if part)


def _blocks(columns: Sequence[Sequence[str]], width: int) -> list[list[Sequence[str]]]:
    """Divide the columns after the first, which stands in every block, so that each block fits into the width."""
    first, *rest = columns
    blocks: list[list[Sequence[str]]] = [[]]
    for column in rest:
        if blocks[-1] and len(GAP.join(cells[0] for cells in (first, *blocks[-1], column))) > width:
            blocks.append([])
        blocks[-1].append(column)
    return blocks


def _block(columns: Sequence[Sequence[str]]) -> str:
    lines = [GAP.join(row).rstrip() for row in zip(*columns, strict=True)]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def markdown_page(title: str, sections: Iterable[str], notes: Iterable[str] = ()) -> str:
    """Return a Markdown page: the title, the sections, the notes as a list, and what the figures are not for."""
    listed = "\n".join(f"- {note}" for note in notes)
    return "\n\n".join([f"# {title}", *sections, *([listed] if listed else []), DISCLAIMER]) + "\n"


def mean_text(mean: float, deviation: float = nan, digits: int = 2) -> str:
    """Return "0.91 ± 0.02", without a deviation that is NaN; "-" for a mean that is NaN."""
    if isnan(mean):
        return NONE
    return f"{mean:.{digits}f}" + ("" if isnan(deviation) else f" ± {deviation:.{digits}f}")


def counted(number: int, noun: str) -> str:
    """Return "1 case", "2 cases"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def csv_text(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a CSV file's text: six digits of a float, nothing for NaN and None.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    if not isinstance(value, str):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"'{value}" if value.startswith(FORMULA) and value != NONE and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
