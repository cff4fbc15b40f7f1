"""SPIDER's mid-sagittal slices as one-slice volumes: vertebrae and discs counted against overview.csv.

A slice is right **within one** where its number of vertebrae and its number of discs are both within one of those of
its own series; **any series** takes those of any series of its patient; **exact** is both equal to its own series'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from unseen_cases import flags_of

from autospine.core.tables import NONE, Table, csv_text
from autospine.dataset.cases import patient_and_sequence
from autospine.dataset.metadata import read_overview
from autospine.labels.anatomy import Anatomy, Kind

Counts = tuple[int, int]  # vertebrae, discs
COUNTED = ((Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA), (Kind.DISC,))


@dataclass(frozen=True)
class Slice:
    """One picture, and what overview.csv says of it."""

    id: str
    path: Path
    spacing: tuple[float, float, float]  # mm along (slices, rows, columns)
    own: Counts | None  # of its own series; None where the table lacks it
    patient: tuple[Counts, ...]  # of every series of its patient


@dataclass(frozen=True)
class SliceFigure:
    """What was counted in one slice."""

    id: str
    counted: Counts
    own: Counts | None
    within_one: bool
    any_series: bool
    exact: bool
    flags: tuple[str, ...] = ()
    ambiguous: bool = False  # one of the flags is that levels are ambiguous

    @classmethod
    def of(cls, slice_: Slice, report: Mapping[str, Any] | None) -> SliceFigure:
        """Compare what a report lists with what is annotated; without a report nothing was counted."""
        counted = count_labels(report) if report else (0, 0)
        return cls(
            slice_.id,
            counted,
            slice_.own,
            within_one=slice_.own is not None and near(counted, [slice_.own]),
            any_series=near(counted, slice_.patient),
            exact=counted == slice_.own,
            flags=flags_of(report),
            ambiguous=bool(report and report["ambiguous"]),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SliceFigure:
        """Read JSON values."""
        pairs = {name: None if data[name] is None else tuple(data[name]) for name in ("counted", "own", "flags")}
        return cls(**{**data, **pairs})


def near(counted: Counts, references: Iterable[Counts]) -> bool:
    """Return whether both counts are within one of both of some reference."""
    return any(all(abs(a - b) <= 1 for a, b in zip(counted, both, strict=True)) for both in references)


def find_slices(folder: Path, overview: Path, without: Iterable[str] = ()) -> list[Slice]:
    """List the pictures of a folder, without those of some patients.

    Raises:
        SystemExit: There are none, or the table has no series of a slice's patient.
    """
    table, left_out = read_overview(overview), set(without)
    by_patient: dict[str, list[str]] = {}
    for id_ in table:
        by_patient.setdefault(patient_and_sequence(id_)[0], []).append(id_)
    slices = []
    for path in sorted(folder.glob("*.png")):
        patient = patient_and_sequence(path.stem)[0]
        if patient in left_out:
            continue
        series = by_patient.get(patient)
        if not series:
            raise SystemExit(f"{path}: {overview} has no series of patient {patient}; complete the table")
        row = table[path.stem if path.stem in table else series[0]]
        own = counts_of(table[path.stem]) if path.stem in table else None
        slices.append(Slice(path.stem, path, spacing_of(row), own, tuple(counts_of(table[id_]) for id_ in series)))
    if not slices:
        raise SystemExit(f"{folder}: holds no slices to measure; give a folder of PNG files named like series")
    return slices


def counts_of(row: Mapping[str, str]) -> Counts:
    """Return the annotated vertebrae and discs of a series."""
    return int(row["num_vertebrae"]), int(row["num_discs"])


def spacing_of(row: Mapping[str, str]) -> tuple[float, float, float]:
    """Return mm along (slices, rows, columns).

    Example:
        >>> spacing_of({"PixelSpacing": "[.5, .6]", "SpacingBetweenSlices": "", "SliceThickness": "4.0"})
        (4.0, 0.5, 0.6)
    """
    rows, columns = (float(text) for text in row["PixelSpacing"].strip("[]").split(","))
    return float(row["SpacingBetweenSlices"] or row["SliceThickness"]), rows, columns


def write_slice(slice_: Slice, folder: Path) -> Path:
    """Write a picture as a volume of one slice, unless it is there."""
    from PIL import Image

    from autospine.volumes import write_volume
    from autospine.volumes.arrays import image_of_array

    path = folder / f"{slice_.id}.nii.gz"
    if not path.exists():
        with Image.open(slice_.path) as picture:
            grey = np.asarray(picture if picture.mode.startswith(("I", "F")) else picture.convert("L"))
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(image_of_array(grey[None].astype(np.float32), slice_.spacing), path)
    return path


def count_labels(report: Mapping[str, Any]) -> Counts:
    """Count the vertebrae and discs that a report lists."""
    kinds = [Anatomy.parse(label["anatomy"]).kind for label in report["labels"]]
    vertebrae, discs = (sum(kind in counted for kind in kinds) for counted in COUNTED)
    return vertebrae, discs


def slice_table(figures: Sequence[SliceFigure], line: str) -> Table:
    """Return a row for each slice, and one with how many are right."""
    header = ("slice", "flag", "vertebrae", "annotated", "discs", "annotated", "within one", "any series", "exact")
    rows = [
        (
            figure.id,
            "ambiguous" if figure.ambiguous else "flagged" if figure.flags else NONE,
            *(cell for pair in zip(figure.counted, figure.own or (NONE, NONE), strict=True) for cell in map(str, pair)),
            *(_yes(right) for right in (figure.within_one, figure.any_series, figure.exact)),
        )
        for figure in figures
    ]
    right = [(f.within_one, f.any_series, f.exact) for f in figures]
    flagged, ambiguous = sum(bool(f.flags) for f in figures), sum(f.ambiguous for f in figures)
    silent = sum(figure.counted[0] == 0 and not figure.flags for figure in figures)
    empty = sum(figure.counted[0] == 0 for figure in figures)
    sums = (f"{sum(column)} of {len(figures)}" for column in zip(*right, strict=True))
    rows.append(("all", "", "", "", "", "", *sums))
    note = f"Without a vertebra: {empty}, of these silent: {silent}. Flagged: {flagged}, as ambiguous: {ambiguous}."
    return Table(f"{line}: vertebrae and discs counted in slices", (header, *rows), note, text_columns=2)


def slices_csv(figures: Sequence[SliceFigure]) -> str:
    """Return the same as CSV."""
    header = ("slice", "vertebrae", "discs", "annotated vertebrae", "annotated discs")
    rows = []
    for f in figures:
        right = map(_yes, (f.within_one, f.any_series, f.exact))
        rows.append([f.id, *f.counted, *(f.own or (None, None)), *right, _yes(f.ambiguous), "; ".join(f.flags)])
    return csv_text([*header, "within one", "any series", "exact", "ambiguous", "flags"], rows)


def plain(figures: Sequence[SliceFigure]) -> list[dict[str, Any]]:
    """Return JSON values."""
    return [asdict(figure) for figure in figures]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
