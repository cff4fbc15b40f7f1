"""Clean label maps in any scheme: convert to classes, apply the rules, and convert back to labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from autospine.cleaning.rules import CANAL, CLASSES, DISC, IGNORE_LABEL, RULES, UNKNOWN, VERTEBRA, neighbour_counts
from autospine.core.errors import UserError
from autospine.labels.conversion import conversion, present_labels, replace_labels
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.metrics.surface import bounding_box

SEMANTIC4 = SCHEMES["semantic4"]
MAPPED = "mapped"
EVERY = (VERTEBRA, CANAL, DISC)
MARGIN = 8  # pixels; each rule carries a class one pixel further at most
MOST_UNKNOWN = 0.5  # of a mask's foreground: above, the scheme is the wrong one

RuleSet = Literal["published", "adapted"]


@dataclass(frozen=True)
class CleaningReport:
    """Pixels that cleaning changed."""

    rules: tuple[str, ...]  # names, in the order of their work
    # For each sagittal slice how many pixels each rule changed; of `mapped`, how many got another integer.
    pixels: tuple[tuple[int, ...], ...]

    @property
    def totals(self) -> dict[str, int]:
        """Return the pixels that each rule changed, over all slices."""
        return {name: sum(row[k] for row in self.pixels) for k, name in enumerate(self.rules)}

    @property
    def line(self) -> str:
        """Return the totals for a log."""
        return ", ".join(f"{name} {count}" for name, count in self.totals.items())

    def rows(self) -> list[tuple[int, ...]]:
        """Return for each slice its index, then a count per rule."""
        return [(index, *row) for index, row in enumerate(self.pixels)]


@dataclass(frozen=True)
class Cleaned:
    """A cleaned mask."""

    mask: np.ndarray  # `(slices, rows, columns)` integers of `scheme`
    scheme: LabelScheme
    report: CleaningReport  # what was changed


def clean_classes(
    classes: np.ndarray, rules: RuleSet = "adapted", annotated: Collection[int] = EVERY
) -> tuple[np.ndarray, CleaningReport]:
    """Apply the rules to a map of classes.

    Args:
        classes: `(slices, rows, columns)` uint8: 0 to 3 as in semantic4, `UNKNOWN`, `IGNORE_LABEL`.
        rules: "adapted" leaves a map alone that has neither unknown nor isolated pixels. "published": the paper's.
        annotated: Classes that the data set annotates; a rule that needs another one changes nothing.

    Returns:
        The cleaned map, and what each rule changed.
    """
    names = tuple(rule.name for rule in RULES[rules])
    result, pixels = classes.copy(), []
    for plane in result:
        window = _window(plane)
        before, counts = plane[window][None], []  # (1, rows, columns) of the slice
        for rule in RULES[rules]:
            after = rule.apply(before) if rule.needs in (None, *annotated) else before
            counts.append(int(np.count_nonzero(after != before)))
            before = after
        plane[window] = before[0]
        pixels.append(tuple(counts))
    return result, CleaningReport(names, tuple(pixels))


def _window(plane: np.ndarray) -> tuple[slice, ...]:
    """Return the rows and columns outside of which a slice stays background under any of the rules."""
    box = bounding_box(plane != 0) or (slice(0, 0), slice(0, 0))
    return tuple(slice(max(side.start - MARGIN, 0), side.stop + MARGIN) for side in box)


def clean_mask(
    mask: np.ndarray, scheme: LabelScheme, rules: RuleSet = "adapted", where: str | Path = "mask"
) -> Cleaned:
    """Clean a mask and convert it to semantic4.

    Args:
        mask: `(slices, rows, columns)` integers from 0 up.
        scheme: What they mean; integers that it lacks are replaced.
        rules: See `clean_classes`.
        where: The file that an error names.

    Returns:
        semantic4, with the scheme's value for unlabelled voxels if it has one.

    Raises:
        UserError: The scheme has none of the classes, or lacks most of the mask's labels.
    """
    target = conversion(scheme, SEMANTIC4).target
    classes = to_classes(mask, scheme, where)
    cleaned, report = clean_classes(classes, rules)
    if target.ignore_label is not None:
        cleaned = cleaned.astype(np.min_scalar_type(max(target.ignore_label, CLASSES)), copy=True)
        cleaned[classes == IGNORE_LABEL] = target.ignore_label
    mapped = np.count_nonzero((mask != classes) & (classes < CLASSES), axis=(1, 2)).tolist()
    pixels = tuple((count, *row) for count, row in zip(mapped, report.pixels, strict=True))
    return Cleaned(cleaned, target, CleaningReport((MAPPED, *report.rules), pixels))


def clean_labels(
    mask: np.ndarray,
    scheme: LabelScheme,
    rules: RuleSet = "adapted",
    where: str | Path = "mask",
    annotated: Collection[int] = EVERY,
) -> Cleaned:
    """Clean a mask and keep its own integers: vertebra 3 stays vertebra 3.

    A pixel that changes its class takes the label of the nearest pixel which had that class in its slice (without one:
    the scheme's smallest label of the class). Converted to semantic4, the result is that of `clean_mask`.

    Arguments and errors are those of `clean_mask`; for `annotated` see `clean_classes`.
    """
    classes = to_classes(mask, scheme, where)
    cleaned, report = clean_classes(classes, rules, annotated)
    labels = np.where(cleaned == 0, 0, mask).astype(mask.dtype)
    labels[cleaned == classes] = mask[cleaned == classes]  # what semantic4 lacks, a sacrum say, stays
    table = conversion(scheme, SEMANTIC4).table
    smallest = {value: min((k for k, v in table.items() if v == value), default=0) for value in range(1, CLASSES)}
    for index in np.flatnonzero((cleaned != classes).any(axis=(1, 2))):
        for value in range(1, CLASSES):
            became = (cleaned[index] == value) & (classes[index] != value)
            if became.any():
                labels[index][became] = _nearest_labels(mask[index], classes[index], value, became, smallest)
    return Cleaned(labels, scheme, report)


def to_classes(mask: np.ndarray, scheme: LabelScheme, where: str | Path = "mask") -> np.ndarray:
    """Convert a mask's labels to classes; arguments and errors are those of `clean_mask`.

    Returns:
        uint8 of the same shape: 0 to 3 as in semantic4, `UNKNOWN` where the scheme lacks the integer, `IGNORE_LABEL`.
    """
    present = present_labels(mask, where)
    table = dict(conversion(scheme, SEMANTIC4).table)
    if not any(table.values()):
        problem = f"is in the scheme {scheme.name}, which has no vertebra, canal or disc"
        raise UserError(where, problem, "name the mask's own scheme with --labels")
    if scheme.ignore_label is not None:
        table[scheme.ignore_label] = IGNORE_LABEL
    if not present:
        return np.zeros(mask.shape, np.uint8)
    codes = np.array([table.get(label, UNKNOWN) for label in present], np.uint8)
    classes = replace_labels(mask, present, codes)
    if UNKNOWN in codes:
        _check_known(classes, scheme, where)
    return classes


def _check_known(classes: np.ndarray, scheme: LabelScheme, where: str | Path) -> None:
    """Refuse a mask that was made in another scheme."""
    unknown, foreground = int(np.count_nonzero(classes == UNKNOWN)), int(np.count_nonzero(classes))
    if unknown > MOST_UNKNOWN * foreground:
        share = unknown / foreground
        problem = f"holds {unknown} voxels ({share:.0%} of its labels) that the scheme {scheme.name} lacks"
        raise UserError(where, problem, "name the mask's own scheme with --labels")


def _nearest_labels(
    mask: np.ndarray, classes: np.ndarray, value: int, where: np.ndarray, smallest: Mapping[int, int]
) -> np.ndarray:
    """Return `(pixels,)` labels for the pixels `where` of `(rows, columns)`: those of the nearest pixels of a class."""
    from scipy.spatial import cKDTree

    # The nearest pixel of a class lies on its outline, where it has a neighbour of another class.
    counts = neighbour_counts((classes == value).astype(np.uint8)[None])[0]
    outline = np.argwhere((classes == value) & (counts & 15 > 0))  # (pixels, 2)
    if not len(outline):
        return np.full(np.count_nonzero(where), smallest[value], mask.dtype)
    _, nearest = cKDTree(outline).query(np.argwhere(where))
    return mask[tuple(outline[nearest].T)]
