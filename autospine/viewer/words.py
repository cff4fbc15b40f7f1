"""What the page says of a segmentation: a row per structure, and remarks in sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autospine.inference.predict import Segmentation
from autospine.labels.anatomy import Anatomy
from autospine.overlay.colours import colour_of

AMBIGUOUS, CUT, MISSING = (
    "ambiguous",
    "cut by the field of view",
    "neighbour missing",
)  # as the report has them
FLAGS = {AMBIGUOUS: "level uncertain", CUT: CUT, MISSING: "the level beside it was not seen"}
FORMATTING = re.compile(r"[\\`*_\[\]$~<>#|]|:(?=\w)")


@dataclass(frozen=True)
class Row:
    """A structure in the table.

    Attributes:
        colour: As in the pictures, "#rrggbb".
        structure: Its name.
        level: Counted from the lowest lumbar vertebra, or None.
        volume_ml: Of its voxels.
        confidence: 0 to 1.
        flags: In words, empty if there are none.
    """

    colour: str
    structure: str
    level: int | None
    volume_ml: float
    confidence: float
    flags: str


def table_rows(found: Segmentation) -> tuple[Row, ...]:
    """A row per structure, those of one kind together, from the lowest level up."""
    reports = sorted(found.labels, key=lambda report: Anatomy.parse(report.anatomy))
    return tuple(
        Row(
            colour=_hex(Anatomy.parse(report.anatomy)),
            structure=report.name,
            level=report.level,
            volume_ml=report.volume_ml,
            confidence=report.confidence,
            flags=", ".join(FLAGS.get(flag, flag) for flag in report.flags),
        )
        for report in reports
    )


def remarks(found: Segmentation) -> tuple[str, ...]:
    """What a person must know before using the mask, a few sentences each; empty if there is nothing."""
    said = []
    if not found.labels:
        said.append("Nothing was found in this scan.")
    if found.ambiguous:
        said.append(f"It is uncertain which level is which: {found.ambiguous}. Check the names before you use them.")
    if cut := _flagged(found, CUT):
        said.append(f"Cut by the field of view, so the volume is that of a part: {cut}.")
    if beside := _flagged(found, MISSING):
        said.append(f"A level between two found ones was not seen. It lies beside: {beside}.")
    if found.warnings:
        unlike = " ".join(f"{warning[:1].upper()}{warning[1:]}." for warning in found.warnings)
        said.append(f"The scan is unlike what the model was trained on. {unlike}")
    return tuple(said)


def as_text(line: str) -> str:
    """A line in which nothing is taken for formatting: a file may be called "a*b*c.mha"."""
    return FORMATTING.sub(r"\\\g<0>", line)


def _flagged(found: Segmentation, flag: str) -> str:
    return ", ".join(report.name for report in found.labels if flag in report.flags)


def _hex(anatomy: Anatomy) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour_of(anatomy))
