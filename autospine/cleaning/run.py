"""Cleaning of mask files, each on its own grid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine import volumes
from autospine.cleaning.clean import CleaningReport, RuleSet, clean_labels, clean_mask
from autospine.cleaning.rules import RULES
from autospine.core.errors import UserError
from autospine.core.files import check_writable, write_text
from autospine.core.machine import workers_for
from autospine.core.parallel import run_cases
from autospine.core.tables import csv_text
from autospine.dataset.metadata import read_declaration
from autospine.labels.conversion import get_scheme
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.volumes.folders import volume_suffix

log = logging.getLogger(__name__)
USUAL = "spider"
WRITTEN_AS = {".mhd": ".mha", None: ".nii.gz"}  # a header file's mask becomes one file, a DICOM folder's too


@dataclass(frozen=True)
class CleanRequest:
    """What autospine_clean is asked.

    Attributes:
        masks: A mask, or a folder of masks.
        output: Folder for the clean masks.
        rules: "adapted" or "published".
        labels: Label scheme of the masks; None takes what dataset.json says, else spider.
        keep_labels: Keep the masks' own integers instead of semantic4's.
        report: CSV of the pixels that each rule changed.
        workers: Processes at once; 0 is one per core.
    """

    masks: Path
    output: Path
    rules: RuleSet = "adapted"
    labels: str | None = None
    keep_labels: bool = False
    report: Path | None = None
    workers: int = 0


@dataclass(frozen=True)
class Job:
    """One mask to be cleaned."""

    mask: Path
    output: Path
    scheme: LabelScheme
    rules: RuleSet
    keep_labels: bool


@dataclass(frozen=True)
class Done:
    """What came of one mask.

    Attributes:
        id: Its name.
        report: What was changed; None if it failed.
        failure: Why.
    """

    id: str
    report: CleaningReport | None
    failure: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of all masks."""

    masks: tuple[Done, ...]
    output: Path

    @property
    def failures(self) -> tuple[str, ...]:
        """A line for each mask that failed."""
        return tuple(each.failure for each in self.masks if each.failure)

    def describe(self) -> str:
        """What a person reads at the end."""
        reports = [each.report for each in self.masks if each.report is not None]
        lines = [f"failed: {line}" for line in self.failures]
        totals: dict[str, int] = {}
        for report in reports:
            for name, count in report.totals.items():
                totals[name] = totals.get(name, 0) + count
        if totals:
            lines.append("pixels changed: " + ", ".join(f"{name} {count}" for name, count in totals.items()))
        lines.append(f"{len(reports)} mask{'' if len(reports) == 1 else 's'} written to {self.output}")
        return "\n".join(lines)


def clean_all(request: CleanRequest) -> Outcome:
    """Cleans every mask of the request; one that fails is named and the others finish.

    Raises:
        UserError: There are no masks, the scheme is unknown, or the output would replace the input.
    """
    folder, paths = _masks(request.masks)
    if request.output.resolve() == folder.resolve():
        raise UserError(request.output, "holds the masks themselves", "choose another output folder")
    scheme, workers = _scheme(request.labels, folder), workers_for(request.workers)
    check_writable(request.output)
    jobs = []
    for path in paths:
        suffix = volume_suffix(path)
        target = request.output / (volumes.volume_id(path) + WRITTEN_AS.get(suffix, str(suffix)))
        jobs.append(Job(path, target, scheme, request.rules, request.keep_labels))
    names = [volumes.volume_id(path) for path in paths]
    done = run_cases(_attempt, jobs, names, "clean", workers)
    for each in done:
        if each.report is not None:
            log.info("%s: %s", each.id, each.report.line)
    if request.report is not None:
        write_text(request.report, _csv(done, request.rules))
    return Outcome(tuple(done), request.output)


def _masks(place: Path) -> tuple[Path, list[Path]]:
    """The folder of the masks, and the masks."""
    folder = place / "masks" if (place / "masks").is_dir() else place
    paths = volumes.find_volumes(folder)
    return folder if folder.is_dir() and paths != [folder] else folder.parent, paths


def _scheme(labels: str | None, folder: Path) -> LabelScheme:
    """What was asked for, or what a dataset.json beside or above the masks says, or SPIDER's."""
    if labels is not None:
        return get_scheme(labels)
    for place in (folder, folder.resolve().parent):
        declared = read_declaration(place / "dataset.json").scheme
        if declared is not None:
            return declared
    return SCHEMES[USUAL]


def _attempt(job: Job) -> Done:
    name = volumes.volume_id(job.mask)
    try:
        volume = volumes.read_mask(job.mask)
        clean = clean_labels if job.keep_labels else clean_mask
        cleaned = clean(volume.array, job.scheme, job.rules, job.mask)
        volumes.write_volume(volume.with_array(cleaned.mask), job.output)
    except UserError as error:
        return Done(name, None, str(error))
    return Done(name, cleaned.report)


def _csv(done: Sequence[Done], rules: RuleSet) -> str:
    """A row per slice, of all masks that were cleaned."""
    columns = next((each.report.rules for each in done if each.report), tuple(r.name for r in RULES[rules]))
    rows = [(each.id, *row) for each in done if each.report for row in each.report.rows()]
    return csv_text(("id", "slice", *columns), rows)
