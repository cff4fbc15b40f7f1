"""Pieces of HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from autospine.evaluation.report.tables import Table

WHOLE_ROWS = ("overall", "all cases")

__all__ = ["anchor", "card", "escape", "figure_html", "items", "paragraph", "section", "table_html"]


def anchor(title: str) -> str:
    """What a link to a section says: "Structures: unet" gives "structures-unet"."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def section(title: str, *parts: str) -> str:
    """A section with its heading."""
    return f'<section id="{anchor(title)}">\n<h2>{escape(title)}</h2>\n' + "\n".join(parts) + "\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def items(lines: Iterable[str], kind: str = "plain") -> str:
    """A list of plain lines."""
    return f"<ul{_class(kind)}>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def card(what: str, value: str, more: str) -> str:
    """A headline figure."""
    parts = zip(("what", "value", "more"), (what, value, more), strict=True)
    return '<div class="card">' + "".join(f'<div class="{k}">{escape(t)}</div>' for k, t in parts) + "</div>"


def figure_html(svg: str, caption: str) -> str:
    """A plot that scrolls by itself where the page is narrow."""
    return f'<figure><div class="scroll">{svg}</div><figcaption>{escape(caption)}</figcaption></figure>'


def table_html(table: Table) -> str:
    """A table that scrolls by itself, and its note."""
    head, *rest = table.rows
    lines = [
        "<thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr></thead>",
        "<tbody>",
    ]
    for row in rest:
        kind = ' class="whole"' if row[0] in WHOLE_ROWS else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    body = "\n".join([*lines, "</tbody>"])
    note = paragraph(table.note, "note") if table.note else ""
    return f'<div class="scroll"><table>\n{body}\n</table></div>{note}'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
