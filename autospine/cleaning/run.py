"""Clean mask files, each on its own grid."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from autospine import volumes
from autospine.cleaning.clean import CleaningReport, RuleSet, clean_labels, clean_mask
from autospine.cleaning.rules import RULES
from autospine.core.errors import UserError
from autospine.core.files import check_writable, write_text
from autospine.core.machine import workers_for
from autospine.core.overwriting import check_files, check_folders
from autospine.core.parallel import try_cases
from autospine.core.tables import csv_text
from autospine.dataset.metadata import read_declaration
from autospine.labels.conversion import get_scheme
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.volumes.folders import check_table, output_paths, written_name

log = logging.getLogger(__name__)
USUAL = "spider"


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
class CleaningJob:
    """One mask to be cleaned."""

    mask: Path
    output: Path
    scheme: LabelScheme
    rules: RuleSet
    keep_labels: bool


@dataclass(frozen=True)
class CleanResult:
    """Result of cleaning all masks."""

    reports: dict[str, CleaningReport]  # what was changed, by the mask's id
    failures: tuple[str, ...]  # a line for each mask that failed
    output: Path  # folder of the clean masks

    def describe(self) -> str:
        """Return what a person reads at the end."""
        totals: Counter[str] = Counter()
        for report in self.reports.values():
            totals.update(report.totals)
        lines = [f"failed: {line}" for line in self.failures]
        if totals:
            lines.append("pixels changed: " + ", ".join(f"{name} {count}" for name, count in totals.items()))
        masks = f"{len(self.reports)} mask{'' if len(self.reports) == 1 else 's'}"
        return "\n".join([*lines, f"{masks} written to {self.output}"])


def clean_all(request: CleanRequest) -> CleanResult:
    """Clean every mask of the request; one that fails is named and the others finish.

    Raises:
        UserError: There are no masks, the scheme is unknown, or the output would replace the input.
    """
    folder, paths = _masks(request.masks)
    outputs = _outputs(request, paths, folder)
    scheme, workers = _scheme(request.labels, folder), workers_for(request.workers)
    jobs = [
        CleaningJob(path, output, scheme, request.rules, request.keep_labels)
        for path, output in zip(paths, outputs, strict=True)
    ]
    names = [volumes.volume_id(path) for path in paths]
    cleaned = try_cases(_clean, jobs, names, "clean", workers, request.output)
    results = dict(zip(names, cleaned, strict=True))
    reports = {name: result for name, result in results.items() if not isinstance(result, UserError)}
    for name, report in reports.items():
        log.info("%s: %s", name, report.line)
    if request.report is not None:
        columns = next((report.rules for report in reports.values()), tuple(r.name for r in RULES[request.rules]))
        rows = [(name, *row) for name, report in reports.items() for row in report.rows()]
        write_text(request.report, csv_text(("id", "slice", *columns), rows))
    failures = tuple(str(result) for result in results.values() if isinstance(result, UserError))
    return CleanResult(reports, failures, request.output)


def _masks(path: Path) -> tuple[Path, list[Path]]:
    """Return the folder of the masks, and the masks."""
    folder = path / "masks" if (path / "masks").is_dir() else path
    paths = volumes.find_volumes(folder)
    return folder if folder.is_dir() and paths != [folder] else folder.parent, paths


def _outputs(request: CleanRequest, paths: list[Path], folder: Path) -> list[Path]:
    """Return where each clean mask goes, after a check that nothing that is read lies there."""
    outputs = output_paths(request.output, [written_name(path) for path in paths])
    is_file = outputs == [request.output]
    check_folders(() if is_file else (request.output,), paths)
    tables = (home / "dataset.json" for home in (folder, folder.resolve().parent))
    check_files([*outputs, *([request.report] if request.report else [])], (*paths, *tables))
    check_table(request.report)
    check_writable(request.output.parent if is_file else request.output)
    return outputs


def _scheme(labels: str | None, folder: Path) -> LabelScheme:
    """Return what was asked for, or what a dataset.json beside or above the masks says, or SPIDER's scheme."""
    if labels is not None:
        return get_scheme(labels)
    schemes = (read_declaration(home / "dataset.json").scheme for home in (folder, folder.resolve().parent))
    return next((scheme for scheme in schemes if scheme is not None), SCHEMES[USUAL])


def _clean(job: CleaningJob) -> CleaningReport:
    volume = volumes.read_mask(job.mask, job.scheme.negative)
    clean = clean_labels if job.keep_labels else clean_mask
    cleaned = clean(volume.array, job.scheme, job.rules, job.mask)
    volumes.write_volume(volume.with_array(cleaned.mask), job.output)
    return cleaned.report
