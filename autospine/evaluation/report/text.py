"""What an evaluation looks like in the terminal and as Markdown, and the files that are written of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

from autospine.core.files import remove, write_json, write_text
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.notes import FOOTER, heading, notes, official_notes
from autospine.evaluation.report import csv_files
from autospine.evaluation.report.json_summary import as_dict
from autospine.evaluation.report.tables import Table, tables, titled
from autospine.evaluation.study import MethodComparison

WIDTH = 100  # of running text
GAP = "  "  # between columns
MOST_ALIKE = 3  # lines of one fault in the terminal, where every one is an error line, too


def as_text(study: MethodComparison, width: int | None = None) -> str:
    """Aligned tables for the terminal.

    Args:
        study: What was scored.
        width: Letters that a line holds: columns of a table that do not fit stand in a block below. None: any number.
    """
    parts = _wrapped([heading(study.first)], width)
    for table in tables(study):
        titles = [table.title] if len(study.systems) > 1 else []
        note = _wrapped([table.note] if table.note else [], width)
        parts.append("\n".join([*titles, _aligned(table, width), *note]))
    for title, lines in _remarks(study, MOST_ALIKE):
        parts.append("\n".join(_wrapped([f"{title}:", *lines], width)))
    return "\n\n".join([*parts, *_wrapped([FOOTER], width)])


def as_markdown(study: MethodComparison) -> str:
    """The same as a Markdown page."""
    parts = ["# Evaluation", heading(study.first)]
    for table in tables(study):
        parts += [f"## {table.title}", _markdown(table), *([table.note] if table.note else [])]
    for title, lines in _remarks(study):
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join([*parts, FOOTER]) + "\n"


def save(study: MethodComparison, folder: Path, page: bool = False) -> None:
    """Writes the files of a study, each whole or not at all.

    Args:
        study: What was scored.
        folder: Where: cases.csv, labels.csv, instances.csv, tests.csv (of several systems), official.csv (of SPIDER's
            protocol), summary.json, summary.md.
        page: Write report.html, too.

    Raises:
        UserError: The folder cannot be written.
    """
    found = csv_files.all_sheets(study)
    for name in csv_files.OPTIONAL:  # one of an earlier study would contradict the rest
        if name not in found:
            remove(folder / name)
    for name, text in found.items():
        write_text(folder / name, text)
    write_json(folder / "summary.json", as_dict(study))
    write_text(folder / "summary.md", as_markdown(study))
    if page:
        from autospine.evaluation.report.html.page import as_page

        write_text(folder / "report.html", as_page(study))


def _remarks(study: MethodComparison, most: int | None = None) -> Iterator[tuple[str, list[str]]]:
    several = len(study.systems) > 1
    for system in study.systems:
        official = official_notes(system)
        if official:
            title = "Why official and corrected figures differ"
            yield titled(title, system.name) if several else title, list(official)
        own = list(_own_notes(system, study, most))
        if own:
            yield titled("Notes", system.name) if several else "Notes", own


def _own_notes(system: Evaluation, study: MethodComparison, most: int | None) -> Iterator[str]:
    """The explanation once, not for every system."""
    lines = notes(system, most)
    explanation = next(lines)
    if system is study.first:
        yield explanation
    yield from lines


def _wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    most = min(WIDTH, width or WIDTH)
    return [fill(line, most, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) for line in lines]


def _aligned(table: Table, width: int | None) -> str:
    columns = [_padded(column, first=place == 0) for place, column in enumerate(zip(*table.rows, strict=True))]
    return "\n\n".join(_block([columns[0], *block]) for block in _blocks(columns, width or sys.maxsize))


def _padded(column: Sequence[str], first: bool) -> list[str]:
    size = max(map(len, column))
    return [cell.ljust(size) if first else cell.rjust(size) for cell in column]


def _blocks(columns: Sequence[Sequence[str]], width: int) -> list[list[Sequence[str]]]:
    """Columns after the first, which stands before each block; as many as fit side by side, at least one."""
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


def _markdown(table: Table) -> str:
    head, *rest = ["| " + " | ".join(row) + " |" for row in table.rows]
    rule = "|---|" + "---:|" * (len(table.rows[0]) - 1)
    return "\n".join([head, rule, *rest])
