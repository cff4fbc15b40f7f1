"""Measure many masks: figures as CSV and JSON, a picture a case."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import check_writable, read_json, remove, write_json, write_text
from autospine.core.machine import workers_for
from autospine.core.overwriting import check_files, check_folders
from autospine.core.parallel import try_cases
from autospine.core.tables import DISCLAIMER, counted
from autospine.core.version import __version__
from autospine.dataset.cases import CHANNEL
from autospine.dataset.class_files import class_scheme, read_labels
from autospine.dataset.metadata import label_table_scheme, read_declaration
from autospine.evaluation.pairing import References, find_references
from autospine.labels.conversion import get_scheme, infer_scheme, present_labels, scheme_of_mask, scheme_of_report
from autospine.labels.schemes import LabelScheme
from autospine.measurement.case import measure_volume
from autospine.measurement.figures import SPINE
from autospine.measurement.tables import (
    CASE_KEYS,
    LEVEL_FIGURES,
    LEVEL_KEYS,
    Row,
    case_json,
    case_row,
    level_rows,
    rows_csv,
)
from autospine.volumes import find_volumes, read_image
from autospine.volumes.folders import volume_id
from autospine.volumes.stamps import content_hash

log = logging.getLogger(__name__)
LEVELS, COLUMNS, PAGE = "measurements.csv", "columns.csv", "measure.html"
GRADINGS = "radiological_gradings.csv"
FORM = 2  # of the figures; raise it when they are measured otherwise


@dataclass(frozen=True)
class MeasureRequest:
    """What autospine_measure is asked.

    Attributes:
        masks: A mask, a folder of masks, or a data set.
        images: Folder of the scans, for pictures and the discs' signal; None takes the data set's.
        output: Folder for tables, pictures and page; None writes nothing.
        labels: Label scheme of the masks; None: what dataset.json, the mask's report or its label table says, else
            inferred from the integers.
        pictures: Draw a picture of each case.
        by: Columns of overview.csv that the page compares; none: all cases together.
        gradings: SPIDER's radiological_gradings.csv; None takes the one beside overview.csv, if there is one.
        workers: Processes at once; 0 is one per core.
    """

    masks: Path
    images: Path | None = None
    output: Path | None = None
    labels: str | None = None
    pictures: bool = True
    by: tuple[str, ...] = ()
    gradings: Path | None = None
    workers: int = 0


@dataclass(frozen=True)
class MeasuredCase:
    """Result of measuring one case: its rows of both tables, and what a person should know."""

    id: str
    levels: tuple[Row, ...]
    column: Row
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MeasureResult:
    """Result of measuring all masks."""

    cases: tuple[MeasuredCase, ...]
    failures: tuple[str, ...]  # a line for each mask that failed
    output: Path | None

    @property
    def levels_csv(self) -> str:
        """Return the table with one row per level."""
        return rows_csv((row for case in self.cases for row in case.levels), LEVEL_KEYS, LEVEL_FIGURES)

    @property
    def columns_csv(self) -> str:
        """Return the table with one row per case."""
        return rows_csv((case.column for case in self.cases), CASE_KEYS, SPINE)

    def describe(self) -> str:
        """Return what a person reads at the end."""
        lines = [f"failed: {line}" for line in self.failures]
        lines += [f"{case.id}: {note}" for case in self.cases for note in case.notes]
        levels = counted(sum(len(case.levels) for case in self.cases), "level")
        destination = f" written to {self.output}" if self.output else ""
        lines.append(f"{levels} of {counted(len(self.cases), 'case')}{destination}. {DISCLAIMER}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _CaseJob:
    id: str
    mask: Path
    image: Path | None
    patient: str
    scheme: LabelScheme | None
    output: Path | None
    pictures: bool


def measure_all(request: MeasureRequest) -> MeasureResult:
    """Measure every mask of the request; one that fails is named and the others finish.

    Raises:
        UserError: There are no masks, the scheme is unknown, or the output would replace the input.
    """
    references = find_references(request.masks, request.images)
    return _measure_references(references, _images_by_case(references, request.images), request)


def measure_predictions(output: Path, inputs: Sequence[Path], workers: int = 0) -> MeasureResult:
    """Measure the masks that autospine_predict has written, into a folder beside them.

    Args:
        output: Folder of the masks, or the one mask's file.
        inputs: The scans, or folders of them.
        workers: Processes at once; 0 is one per core.
    """
    folder = output.with_name(f"{volume_id(output)}_measured") if output.is_file() else output / "measured"
    references = find_references(output)
    scans: dict[str, Path] = {}
    for path in inputs:
        folder_of_scans = path / "images" if (path / "images").is_dir() else path
        with suppress(UserError):  # an input without scans, which autospine_predict has named
            for file in find_volumes(folder_of_scans):
                channel = CHANNEL.match(volume_id(file))
                scans.setdefault(channel["id"] if channel else volume_id(file), file)
    if len(scans) == len(references.masks) == 1:
        scans = dict(zip(references.masks, scans.values(), strict=True))
    images = {id_: scans[id_] for id_ in references.masks if id_ in scans}
    return _measure_references(references, images, MeasureRequest(output, output=folder, workers=workers))


def _measure_references(references: References, images: Mapping[str, Path], request: MeasureRequest) -> MeasureResult:
    scheme = get_scheme(request.labels) if request.labels else None
    _check_columns(references, request.by)
    if request.output is not None:
        read = [*references.masks.values(), *images.values()]
        check_folders([folder for folder in (request.output, request.output / "cases") if folder.exists()], read)
        named = [path for path in (request.gradings, Path(request.labels) if request.labels else None) if path]
        check_files([request.output / name for name in (LEVELS, COLUMNS, PAGE)], named)
        check_writable(request.output)
    jobs = [
        _CaseJob(id_, mask, images.get(id_), references.patients[id_], scheme, request.output, request.pictures)
        for id_, mask in references.masks.items()
    ]
    names, workers = [job.id for job in jobs], workers_for(request.workers)
    outcomes = try_cases(_measure_case, jobs, names, "measure", workers, request.output)
    cases = tuple(outcome for outcome in outcomes if not isinstance(outcome, UserError))
    failures = tuple(str(outcome) for outcome in outcomes if isinstance(outcome, UserError))
    result = MeasureResult(cases, failures, request.output)
    if request.output is not None and cases:
        write_text(request.output / LEVELS, result.levels_csv)
        write_text(request.output / COLUMNS, result.columns_csv)
        write_text(request.output / PAGE, _page(result, references, request, request.output))
    return result


def _check_columns(references: References, by: Sequence[str]) -> None:
    columns = {column for row in references.table.values() for column in row}
    unknown = [column for column in by if column not in columns]
    if unknown:
        choices = ", ".join(sorted(columns)[:8]) or "none"
        raise UserError(references.table_path, f"has no column {unknown[0]!r}", f"choose from {choices}")


def _page(result: MeasureResult, references: References, request: MeasureRequest, output: Path) -> str:
    """Return the cohort's page."""
    from autospine.measurement.cohort import grading_tables, literature_table, pairs_table
    from autospine.measurement.page import as_page

    rows = [row for case in result.cases for row in case.levels]
    pairs = pairs_table(rows, references.table)
    tables = [literature_table(rows, [case.column for case in result.cases]), *([pairs] if pairs else [])]
    gradings = request.gradings or references.table_path.parent / GRADINGS
    if request.gradings is not None or gradings.is_file():
        tables += grading_tables(rows, gradings)
    return as_page(rows, references.table, request.by, tables, output / "cases" if request.pictures else None)


def _images_by_case(references: References, images: Path | None) -> Mapping[str, Path]:
    """Return the scans by case; one scan with one mask pair whatever their names."""
    if images is not None and images.is_file() and len(references.masks) == 1:
        return {next(iter(references.masks)): images}
    return references.images


def _scheme_of(mask: Path) -> LabelScheme | None:
    """Return what a dataset.json beside or above a mask says, else a report of autospine_predict, else its table."""
    for folder in (mask.parent, mask.resolve().parent.parent):
        declared = read_declaration(folder / "dataset.json").scheme
        if declared is not None:
            return declared
    report = mask.parent / f"{volume_id(mask)}.json"
    content = read_json(report) if report.is_file() else None
    if isinstance(content, dict) and "autospine" in content:
        in_report = scheme_of_report(content, report)
        if in_report is not None:
            return in_report
    return label_table_scheme(mask)


def _measure_case(job: _CaseJob) -> MeasuredCase:
    """Measure a case and write its files, the JSON last; what is there of the same files and labels stays."""
    option = None if job.scheme is None else "--labels"
    scheme = class_scheme(job.mask, option) or job.scheme or _scheme_of(job.mask)
    key = _key(job, scheme)
    if job.output is None:
        return _measured(job, _figures(job, scheme, key, None))
    record, picture = (job.output / "cases" / f"{job.id}{suffix}" for suffix in (".json", ".png"))
    if picture.exists() or not job.pictures:
        with suppress(UserError, LookupError, TypeError):  # a damaged file is made again
            content = read_json(record)
            if content["measured_from"] == key:
                return _measured(job, content)
    remove(record)  # before the picture is changed, for which it vouches
    content = _figures(job, scheme, key, picture if job.pictures else None)
    write_json(record, content)
    return _measured(job, content)


def _key(job: _CaseJob, scheme: LabelScheme | None) -> str:
    """Return a hash that changes with the content of the case's files, the scheme, and AutoSpine."""
    files = [content_hash(path) if path is not None else None for path in (job.mask, job.image)]
    content = [__version__, FORM, files, scheme.to_dict() if scheme else None]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _figures(job: _CaseJob, scheme: LabelScheme | None, key: str, picture: Path | None) -> dict[str, Any]:
    """Measure a case, draw its picture where one is asked for, and return its figures as JSON values."""
    mask = read_labels(job.mask, scheme.negative if scheme else None)
    scheme = scheme_of_mask(scheme or infer_scheme(present_labels(mask.array, job.mask)), mask.array, job.mask)
    image = read_image(job.image) if job.image is not None else None
    case = measure_volume(job.id, mask, scheme, image)
    if picture is not None:
        from autospine.measurement.picture import draw_measurements

        background = (mask.array != 0).astype(np.uint8) if image is None else image.array
        draw_measurements(case, background, mask.array, picture)
    return case_json(case, scheme.name, key)


def _measured(job: _CaseJob, content: Mapping[str, Any]) -> MeasuredCase:
    rows = tuple(level_rows(content, job.patient))
    return MeasuredCase(job.id, rows, case_row(content, job.patient), tuple(content["notes"]))
