"""What the page says of a segmentation: a row per structure, and remarks in sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autospine.inference.segmentation import Segmentation
from autospine.labels.anatomy import Anatomy
from autospine.overlay.colours import colour_of

AMBIGUOUS, CUT, MISSING = "ambiguous", "cut by the field of view", "neighbour missing"  # as the report has them
FLAGS = {AMBIGUOUS: "level uncertain", CUT: CUT, MISSING: "the level beside it was not seen"}
FORMATTING = re.compile(r"[\\`*_\[\]$~<>#|]|:(?=\w)")


@dataclass(frozen=True)
class StructureRow:
    """A row of the table."""

    colour: str  # as in the pictures, "#rrggbb"
    structure: str
    level: int | None  # counted from the lowest lumbar vertebra, or None
    volume_ml: float  # of its voxels
    confidence: float  # 0 to 1
    flags: str  # in words, empty if there are none


def table_rows(segmentation: Segmentation) -> tuple[StructureRow, ...]:
    """Return a row per structure, those of one kind together, from the lowest level up."""
    labels = [(Anatomy.parse(label.anatomy), label) for label in segmentation.labels]
    return tuple(
        StructureRow(
            colour=_hex(anatomy),
            structure=label.name,
            level=label.level,
            volume_ml=label.volume_ml,
            confidence=label.confidence,
            flags=", ".join(FLAGS.get(flag, flag) for flag in label.flags),
        )
        for anatomy, label in sorted(labels, key=lambda pair: pair[0])
    )


def remarks(segmentation: Segmentation) -> tuple[str, ...]:
    """Return what a person must know before using the mask, a few sentences each; empty if there is nothing."""
    lines = []
    if not segmentation.labels:
        lines.append("Nothing was found in this scan.")
    if why := segmentation.ambiguous:
        lines.append(f"It is uncertain which level is which: {why}. Check the names before you use them.")
    if segmentation.labels and segmentation.implausible:
        doubts = " ".join(f"{doubt[:1].upper()}{doubt[1:]}." for doubt in segmentation.implausible)
        lines.append(f"The mask is implausible beside those that the model was trained on. {doubts}")
    if names := _flagged(segmentation, CUT):
        lines.append(f"Cut by the field of view, so the volume is that of a part: {names}.")
    if names := _flagged(segmentation, MISSING):
        lines.append(f"A level between two found ones was not seen. It lies beside: {names}.")
    if segmentation.warnings:
        unlike = " ".join(f"{warning[:1].upper()}{warning[1:]}." for warning in segmentation.warnings)
        lines.append(f"The scan is unlike what the model was trained on. {unlike}")
    return tuple(lines)


def escape(line: str) -> str:
    """Return a line of which Markdown takes nothing for formatting: a file may be called "a*b*c.mha"."""
    return FORMATTING.sub(r"\\\g<0>", line)


def _flagged(segmentation: Segmentation, flag: str) -> str:
    return ", ".join(label.name for label in segmentation.labels if flag in label.flags)


def _hex(anatomy: Anatomy) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in colour_of(anatomy))
