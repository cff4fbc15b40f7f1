"""Masks that do not fit the others: an outlying integer that decides the scheme of all, a case with other integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import ceil

from autospine.labels.schemes import BACKGROUND, SCHEMES

FEW = 0.05  # share of the masks, and one at least, that an outlying integer is in
TINY = 0.01  # share of a mask's labelled voxels that an outlying integer has at most
LEAST = 3  # masks from which one can be told to be unlike the others
MOST = 3  # lines

Voxels = Mapping[str, Mapping[int, int]]  # voxels of each label, by file


def outlying_labels(masks: Voxels, ways_out: str) -> tuple[str, ...]:
    """Name the integers without which all masks would be read by SPIDER's scheme, a line per file.

    Args:
        masks: Voxels of each label, by file.
        ways_out: What to do where the integer is right.
    """
    spider = SCHEMES["spider"]
    labelled = {file: {label: n for label, n in voxels.items() if label} for file, voxels in masks.items()}
    outliers = {label for voxels in labelled.values() for label in voxels if label not in spider.anatomies}
    shown = Counter(label for voxels in labelled.values() for label in voxels)
    lines = []
    for file, voxels in labelled.items():
        own = {label: n for label, n in voxels.items() if label in outliers}
        if not own:
            continue
        if any(shown[label] > few(masks) or n > TINY * sum(voxels.values()) for label, n in own.items()):
            return ()
        named = ", ".join(f"{label} ({n} voxels)" for label, n in sorted(own.items()))
        lines.append(
            f"{file}: holds {named}, which the scheme spider lacks; but for that all masks would be read by it. Now "
            "their labels are plain structures, without levels and names: clean it (autospine_clean --keep-labels), "
            f"or {ways_out}"
        )
    more = [f"and {len(lines) - MOST} more such masks"] if len(lines) > MOST else []
    return (*lines[:MOST], *more)


def outlying_masks(masks: Voxels) -> Iterator[str]:
    """Yield the files that share no label with any other, where they are few."""
    labels = {file: set(voxels) - {BACKGROUND} for file, voxels in masks.items()}
    shown = Counter(label for own in labels.values() for label in own)
    unlike = [file for file, own in labels.items() if own and all(shown[label] == 1 for label in own)]
    if len(masks) >= LEAST and len(unlike) <= few(masks):
        yield from unlike


def few(masks: Voxels) -> int:
    """Return up to how many of the masks are outliers."""
    return max(1, ceil(FEW * len(masks)))
