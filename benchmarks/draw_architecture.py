"""Draw docs/architecture.svg: the walk of a scan from file to score, command by command and folder by folder.

Run from the repository's root: python benchmarks/draw_architecture.py [OUT]
"""

from __future__ import annotations

import argparse
from html import escape
from pathlib import Path

# A lane is a command with its boxes in order; a box is a title and two short lines. Files are written in italics.
LANES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "autospine_plan",
        (
            ("*DATASET", "images/, masks/,", "overview.csv"),
            ("volumes", "any format and", "orientation, canonical"),
            ("dataset", "cases, patients,", "verification"),
            ("fingerprint", "spacing, intensity,", "labels in order"),
            ("planning, planners", "plan with reasons,", "memory, folds"),
            ("preprocessing", "resample, normalise,", "store"),
            ("*WORK", "plans.json, splits.json,", "preprocessed/"),
        ),
    ),
    (
        "autospine_train",
        (
            ("*WORK", "one plan,", "one fold"),
            ("trainers", "a paper's recipe,", "loss and tables"),
            ("preprocessing", "the recipe's", "transforms"),
            ("augmentation", "patches, centres", "and ids together"),
            ("training, networks", "budget, loop,", "losses, checkpoints"),
            ("inference, evaluation", "whole validation", "cases, scored"),
            ("*MODEL", "weights.safetensors,", "model.json"),
        ),
    ),
    (
        "autospine_predict",
        (
            ("*SCAN, MODEL", "any file,", "or a DICOM series"),
            ("volumes", "canonical array", "and its geometry"),
            ("preprocessing", "the same as", "in training"),
            ("inference", "sliding window,", "inverse transforms"),
            ("inference/levels", "offset votes, centres,", "numbers by order"),
            ("volumes, overlay", "the scan's own grid,", "a picture"),
            ("*MASKS", "masks, reports", "(.json), pictures"),
        ),
    ),
    (
        "autospine_evaluate",
        (
            ("*PRED, REF", "masks of any tool,", "any integers"),
            ("volumes", "same grid,", "or an error"),
            ("labels", "schemes converted", "through anatomy"),
            ("evaluation, metrics", "one case: overlap,", "distances, instances"),
            ("evaluation", "a cohort: intervals,", "tests, groups"),
            ("evaluation/report", "tables, CSV, JSON,", "one HTML page"),
            ("*SCORES", "cases.csv, summary.md,", "report.html"),
        ),
    ),
)
WIDTH, HEIGHT, GAP, LEFT, TOP, LANE = 140, 64, 18, 14, 36, 108  # pixels
PACKAGE, FILES, LINE = "#e8f1fa", "#fdf3dc", "#5b6b7b"


def text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def box(x: float, y: float, title: str, lines: tuple[str, str]) -> list[str]:
    """Return a box with a title and two lines; a title that begins with a star is of files."""
    files = title.startswith("*")
    fill, slant = (FILES, "italic") if files else (PACKAGE, "normal")
    size = f'width="{WIDTH}" height="{HEIGHT}" rx="{10 if files else 3}"'
    shape = f'<rect x="{x:g}" y="{y:g}" {size} fill="{fill}" stroke="{LINE}"/>'
    middle = x + WIDTH / 2
    head = text(middle, y + 19, title.lstrip("*"), f'text-anchor="middle" font-weight="bold" font-style="{slant}"')
    body = [text(middle, y + 37 + 15 * k, line, 'text-anchor="middle" font-size="11"') for k, line in enumerate(lines)]
    return [shape, head, *body]


def draw() -> str:
    """Return the figure as SVG."""
    columns = max(len(boxes) for _, boxes in LANES)
    width, height = 2 * LEFT + columns * (WIDTH + GAP) - GAP, TOP + len(LANES) * LANE - 20
    font = 'font-family="sans-serif" font-size="12.5" fill="#1c2733"'
    tip = f'<path d="M0,0 L6,3 L0,6 z" fill="{LINE}"/>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">{tip}</marker>',
    ]
    for row, (command, boxes) in enumerate(LANES):
        y = TOP + row * LANE
        parts.append(text(LEFT, y - 9, command, 'font-family="monospace" font-size="13" font-weight="bold"'))
        for column, (title, *lines) in enumerate(boxes):
            x = LEFT + column * (WIDTH + GAP)
            parts += box(x, y, title, (lines[0], lines[1]))
            if column:
                ends = f'x1="{x - GAP}" x2="{x - 1}" y1="{y + HEIGHT / 2:g}" y2="{y + HEIGHT / 2:g}"'
                parts.append(f'<line {ends} stroke="{LINE}" marker-end="url(#tip)"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "out", type=Path, nargs="?", default=Path("docs/architecture.svg"), help="default: docs/architecture.svg"
    )
    out = parser.parse_args().out
    out.write_text(draw(), encoding="utf-8")
    print(f"{out}: {out.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
