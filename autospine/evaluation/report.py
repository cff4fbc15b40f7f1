"""What an evaluation looks like in the terminal and as Markdown, and the files that are written of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

from autospine.evaluation import sheets
from autospine.evaluation.evaluation import Evaluation
from autospine.evaluation.notes import FOOTER, heading, notes, official_notes
from autospine.evaluation.study import Study
from autospine.evaluation.summary import as_dict
from autospine.evaluation.tables import Table, tables, titled
from autospine.files import write_json, write_text

WIDTH = 100


def as_text(study: Study) -> str:
    """Aligned tables for the terminal."""
    parts = [heading(study.first)]
    for table in tables(study):
        titles = [table.title] if len(study.systems) > 1 else []
        parts.append("\n".join([*titles, _aligned(table), *_wrapped([table.note] if table.note else [])]))
    for title, lines in _remarks(study):
        parts.append("\n".join(_wrapped([f"{title}:", *lines])))
    return "\n\n".join([*parts, FOOTER])


def as_markdown(study: Study) -> str:
    """The same as a Markdown page."""
    parts = ["# Evaluation", heading(study.first)]
    for table in tables(study):
        parts += [f"## {table.title}", _markdown(table), *([table.note] if table.note else [])]
    for title, lines in _remarks(study):
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join([*parts, FOOTER]) + "\n"


def save(study: Study, folder: Path, page: bool = False) -> None:
    """Writes the files of a study, each whole or not at all.

    Args:
        study: What was scored.
        folder: Where: cases.csv, labels.csv, instances.csv, tests.csv (of several systems), official.csv (of SPIDER's
            protocol), summary.json, summary.md.
        page: Write report.html, too.

    Raises:
        UserError: The folder cannot be written.
    """
    for name, text in sheets.all_sheets(study).items():
        write_text(folder / name, text)
    write_json(folder / "summary.json", as_dict(study))
    write_text(folder / "summary.md", as_markdown(study))
    if page:
        from autospine.evaluation.html.page import as_page

        write_text(folder / "report.html", as_page(study))


def _remarks(study: Study) -> Iterator[tuple[str, list[str]]]:
    several = len(study.systems) > 1
    for system in study.systems:
        official = official_notes(system)
        if official:
            title = "Why official and corrected figures differ"
            yield titled(title, system.name) if several else title, list(official)
        own = list(_own_notes(system, study))
        if own:
            yield titled("Notes", system.name) if several else "Notes", own


def _own_notes(system: Evaluation, study: Study) -> Iterator[str]:
    """The explanation once, not for every system."""
    lines = notes(system)
    explanation = next(lines)
    if system is study.first:
        yield explanation
    yield from lines


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [
        fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in lines
    ]


def _aligned(table: Table) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*table.rows, strict=True)]
    lines = []
    for row in table.rows:
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *rest]).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _markdown(table: Table) -> str:
    head, *rest = ["| " + " | ".join(row) + " |" for row in table.rows]
    rule = "|---|" + "---:|" * (len(table.rows[0]) - 1)
    return "\n".join([head, rule, *rest])
