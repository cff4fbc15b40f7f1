"""A column that cannot be one: in air, on a path that no spine takes, without the canal behind it or discs between.

The thresholds lie beyond everything that 69 real masks of five data sets show; see docs/levels.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autospine.labels.anatomy import Kind
from autospine.labels.schemes import LabelScheme
from autospine.metrics.components import connected_components
from autospine.preprocessing.storage import LabelRecord

VERTEBRAE = (Kind.BODY, Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA)  # the first that a level has is its vertebra
AIR = 0.08  # of the way from the image's 1st to its 99th percentile: what is darker is air, or as dark
STRIDE = (2, 4, 4)  # of the voxels that the percentiles are taken from
REACH_MM = 25.0  # in front of and behind a vertebra, where there is body
INSIDE, AROUND = 0.6, 0.8  # shares of air in vertebrae and on both sides; real columns have 0.35 and 0.61 at most
STEEPEST, SHARPEST = 70.0, 65.0  # degrees of a step from the vertical, and between two; real ones have 54 and 47
COVERED, BEHIND = 0.5, 0.5  # shares of the column's rows and vertebrae that have the canal behind; real ones 0.68, 1
WHOLE = 0.6  # of the canal, in its largest piece; real ones have 0.99
GAPS, WITH_DISC, BETWEEN = 4, 0.5, 0.5  # at least so many gaps, of which this share has a disc, which lies in it


@dataclass(frozen=True)
class Column:
    """Vertebrae with levels, discs and canal of a mask."""

    vertebrae: Mapping[int, LabelRecord]  # by level, lowest first
    discs: Mapping[int, LabelRecord]  # by level
    canal: LabelRecord | None

    @classmethod
    def of(cls, records: Sequence[LabelRecord], scheme: LabelScheme) -> Column:
        """Sort the records of a mask."""
        by_kind: dict[Kind, dict[int, LabelRecord]] = {}
        canal = None
        for record in records:
            anatomy = scheme.anatomies[record.value]
            if anatomy.level:
                by_kind.setdefault(anatomy.kind, {})[anatomy.level] = record
            elif anatomy.kind is Kind.CANAL:
                canal = record
        vertebrae: dict[int, LabelRecord] = {}
        for kind in reversed(VERTEBRAE):
            vertebrae |= by_kind.get(kind, {})
        return cls(dict(sorted(vertebrae.items())), by_kind.get(Kind.DISC, {}), canal)


def impossible(
    image: np.ndarray,
    mask: np.ndarray,
    records: Sequence[LabelRecord],
    spacing: tuple[float, float, float],
    scheme: LabelScheme,
    learnt: Sequence[int],
) -> tuple[str, ...]:
    """Return one sentence for each way in which a column cannot be one; empty without numbered vertebrae.

    Args:
        image: `(slices, rows, columns)`.
        mask: Its labels.
        records: Of the labels.
        spacing: mm along (slices, rows, columns).
        scheme: Meaning of the labels.
        learnt: Labels that the model knows.
    """
    column = Column.of(records, scheme)
    if not column.vertebrae:
        return ()
    known_discs = {scheme.anatomies[v].level for v in learnt if scheme.anatomies[v].kind is Kind.DISC}
    return (
        *_in_air(image, mask, column, spacing),
        *_path(column, mask.shape[1], spacing),
        *_canal(mask, column),
        *_discs(column, {level for level in known_discs if level}, spacing),
    )


def _in_air(image: np.ndarray, mask: np.ndarray, column: Column, spacing: tuple[float, float, float]) -> Iterator[str]:
    low, high = np.percentile(image[tuple(slice(None, None, step) for step in STRIDE)], [1, 99])
    if high <= low:
        return
    air, reach = low + AIR * (high - low), round(REACH_MM / spacing[2])
    inside, sides = [], []
    for record in column.vertebrae.values():
        box = _box(record)
        inside.append(float((image[box][mask[box] == record.value] < air).mean()))
        slices, rows, columns = box
        middle = round(record.centroid[0])
        around = image[max(middle - 1, slices.start) : middle + 2, rows]
        front = around[..., max(columns.start - reach, 0) : columns.start]
        back = around[..., columns.stop : columns.stop + reach]
        sides.append([float((side < air).mean()) if side.size else np.nan for side in (front, back)])
    if np.median(inside) > INSIDE:
        yield "the vertebrae are as dark as air"
    least = [min(pair) for pair in sides if not np.isnan(pair).any()]
    if least and np.median(least) > AROUND:
        yield "air lies in front of and behind the vertebrae, as beside an arm"


def _path(column: Column, rows: int, spacing: tuple[float, float, float]) -> Iterator[str]:
    """Judge the steps between neighbours that the image does not cut."""
    whole = {
        level: np.array(record.centroid) * spacing
        for level, record in column.vertebrae.items()
        if record.low[1] > 0 and record.high[1] < rows - 1
    }
    steps = {level: whole[level + 1] - whole[level] for level in whole if level + 1 in whole}
    steepest = max((_angle(step, np.array([0.0, -1.0, 0.0])) for step in steps.values()), default=0.0)
    sharpest = max((_angle(steps[a], steps[b]) for a, b in pairwise(steps) if b == a + 1), default=0.0)
    if steepest > STEEPEST:
        yield f"neighbours lie beside each other, {steepest:.0f} degrees from the vertical"
    elif sharpest > SHARPEST:
        yield f"the column bends by {sharpest:.0f} degrees at a vertebra"


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    cosine = a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _canal(mask: np.ndarray, column: Column) -> Iterator[str]:
    if column.canal is None or len(column.vertebrae) < 2:
        return
    box = _box(column.canal)
    canal = mask[box] == column.canal.value
    voxels = canal.sum(axis=(0, 2))  # of each of its rows
    columns = (canal.sum(axis=0) @ np.arange(canal.shape[2])) / np.maximum(voxels, 1) + box[2].start
    vertebrae = list(column.vertebrae.values())
    first, last = sorted(round(record.centroid[1]) for record in (vertebrae[-1], vertebrae[0]))
    shown = np.zeros(mask.shape[1], bool)
    shown[box[1]] = voxels > 0
    if shown[first : last + 1].mean() < COVERED:
        yield "along most of the vertebrae there is no canal"
    beside = []
    for record in vertebrae:
        rows = np.arange(record.low[1], record.high[1] + 1)
        rows = rows[shown[rows]] - box[1].start
        if len(rows):
            beside.append(columns[rows].mean() > record.centroid[2])
    if beside and np.mean(beside) < BEHIND:
        yield "the canal does not run behind the vertebrae"
    sizes = np.bincount(connected_components(canal)[0].ravel())[1:]
    if sizes.max() < WHOLE * sizes.sum():
        yield "the canal lies in pieces"


def _discs(column: Column, known: set[int], spacing: tuple[float, float, float]) -> Iterator[str]:
    """Judge the discs; one has the level of the vertebra above it."""
    gaps = [level for level in column.vertebrae if level - 1 in column.vertebrae and level in known]
    filled = [level for level in gaps if level in column.discs]
    if len(gaps) >= GAPS and len(filled) < WITH_DISC * len(gaps):
        yield f"discs were found in {len(filled)} of {len(gaps)} gaps between vertebrae"
    inside = []
    for level in filled:
        records = (column.vertebrae[level - 1], column.vertebrae[level], column.discs[level])
        below, above, disc = (np.array(record.centroid) * spacing for record in records)
        line = above - below
        inside.append(0 < (disc - below) @ line < line @ line)
    if len(inside) > 1 and np.mean(inside) < BETWEEN:
        yield "discs do not lie between their vertebrae"


def _box(record: LabelRecord) -> tuple[slice, slice, slice]:
    slices, rows, columns = (slice(low, high + 1) for low, high in zip(record.low, record.high, strict=True))
    return slices, rows, columns
