"""What an evaluation looks like in the terminal and as Markdown, and the files that are written of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

from autospine.core.files import remove, write_json, write_text
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.csv_files import OPTIONAL, csv_files
from autospine.evaluation.report.json_summary import as_dict
from autospine.evaluation.report.tables import FOOTER, challenge_notes, heading, notes, tables, titled

WIDTH = 100  # of running text
MOST_ALIKE = 3  # lines of one problem in the terminal, where every one is an error line, too


def as_text(comparison: MethodComparison, width: int | None = None) -> str:
    """Return aligned tables; columns that do not fit into `width` letters stand in a block below."""
    blocks = _wrapped([heading(comparison.first)], width)
    for table in tables(comparison):
        titles = [table.title] if comparison.several else []
        note = _wrapped([table.note] if table.note else [], width)
        blocks.append("\n".join([*titles, table.as_text(width), *note]))
    for title, lines in _remarks(comparison, MOST_ALIKE):
        blocks.append("\n".join(_wrapped([f"{title}:", *lines], width)))
    return "\n\n".join([*blocks, *_wrapped([FOOTER], width)])


def as_markdown(comparison: MethodComparison) -> str:
    """Return the same as a Markdown page."""
    blocks = ["# Evaluation", heading(comparison.first), *(table.as_section() for table in tables(comparison))]
    for title, lines in _remarks(comparison):
        blocks += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join([*blocks, FOOTER]) + "\n"


def save(comparison: MethodComparison, folder: Path, page: bool = False) -> None:
    """Write the files of a comparison that docs/evaluation.md lists, each whole or not at all; the page if asked for.

    Raises:
        UserError: The folder cannot be written.
    """
    texts = csv_files(comparison)
    for name in OPTIONAL:  # one of an earlier comparison would contradict the rest
        if name not in texts:
            remove(folder / name)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_json(folder / "summary.json", as_dict(comparison))
    write_text(folder / "summary.md", as_markdown(comparison))
    if page:
        from autospine.evaluation.report.html.page import as_page  # draws: loads matplotlib, PIL and jinja2

        write_text(folder / "report.html", as_page(comparison))


def _remarks(comparison: MethodComparison, most: int | None = None) -> Iterator[tuple[str, list[str]]]:
    for method in comparison.methods:
        reasons = challenge_notes(method)
        if reasons:
            yield titled("Why the challenge's and AutoSpine's figures differ", method, comparison), list(reasons)
        own = list(_own_notes(method, comparison, most))
        if own:
            yield titled("Notes", method, comparison), own


def _own_notes(method: Evaluation, comparison: MethodComparison, most: int | None) -> Iterator[str]:
    """Return the explanation once, not for every method."""
    lines = notes(method, most)
    explanation = next(lines)
    if method is comparison.first:
        yield explanation
    yield from lines


def _wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    most = min(WIDTH, width or WIDTH)
    return [fill(line, most, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) for line in lines]
