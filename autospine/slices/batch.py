"""A data set of volumes as a data set of slices, with an index."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from autospine.cleaning.clean import RuleSet
from autospine.core.errors import UserError
from autospine.core.files import check_writable, write_text
from autospine.core.machine import workers_for
from autospine.core.parallel import run_cases
from autospine.core.tables import csv_text
from autospine.dataset.cases import Case, load_dataset
from autospine.fingerprint.slice_filter import MAX_RATIO, class_weights, describe, reasons, shown_classes, why_none
from autospine.labels.conversion import get_scheme, missing_classes
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.slices.extract import COLUMNS, PARTS, SliceRow, SliceSettings, extract

log = logging.getLogger(__name__)
INDEX = "slices.csv"
USUAL = "spider"
LEAST = 16  # pixels


@dataclass(frozen=True)
class SlicesRequest:
    """What autospine_slices is asked.

    Attributes:
        dataset: Folder with images/ and masks/.
        output: Folder for images/, masks/ and the index.
        size: Width and height of the pictures, in pixels.
        labels: Label scheme of the PNG masks.
        mask_labels: That of the scans' masks; None takes what dataset.json says, else spider.
        plane: "sagittal", "axial" or "coronal".
        rules: Rules of mask cleaning; None leaves masks as they are.
        filtered: Write only slices that the slice filter keeps.
        max_ratio: Of the filter, the largest class weight ratio.
        colours: Write coloured previews, too.
        workers: Processes at once; 0 is one per core.
    """

    dataset: Path
    output: Path
    size: tuple[int, int] = (512, 640)
    labels: str = "semantic4"
    mask_labels: str | None = None
    plane: str = "sagittal"
    rules: RuleSet | None = None
    filtered: bool = False
    max_ratio: float = MAX_RATIO
    colours: bool = False
    workers: int = 0


@dataclass(frozen=True)
class Job:
    """One case to be cut."""

    case: Case
    scheme: LabelScheme
    settings: SliceSettings
    output: Path


@dataclass(frozen=True)
class Done:
    """What came of one case: its rows, or why it failed."""

    rows: tuple[SliceRow, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a data set.

    Attributes:
        cases: In the data set's order.
        scheme: Of its masks.
        request: What was asked.
    """

    cases: tuple[Done, ...]
    scheme: LabelScheme
    request: SlicesRequest

    @property
    def failures(self) -> tuple[str, ...]:
        """A line for each case that failed."""
        return tuple(each.failure for each in self.cases if each.failure)

    @property
    def rows(self) -> tuple[SliceRow, ...]:
        """Of all cases."""
        return tuple(row for each in self.cases for row in each.rows)

    def describe(self) -> str:
        """What a person reads at the end."""
        lines = [f"failed: {line}" for line in self.failures]
        classes = shown_classes(self.scheme, self.scheme.anatomies)
        if classes:
            for sequence in sorted({row.case.sequence for row in self.rows}):
                results = [row.result for row in self.rows if row.case.sequence == sequence]
                why = reasons(results, self.request.max_ratio)
                what = describe(class_weights(results), classes)
                lines.append(f"slice filter, {sequence}: {what}" + (f"; {why}" if why else ""))
        if not self.request.filtered and not all(row.result.kept for row in self.rows):
            lines.append("every slice was written; --filter leaves out what the filter drops")
        written = sum(row.written for row in self.rows)
        lines.append(f"{written} pairs of PNG and {INDEX} written to {self.request.output}")
        return "\n".join(lines)


def cut_all(request: SlicesRequest) -> Outcome:
    """Cuts every annotated case; one that fails is named and the others finish.

    Raises:
        UserError: The data set, the size, the ratio or a scheme is at fault, the output holds slices already, or the
            filter leaves nothing.
    """
    _check(request)
    dataset = load_dataset(request.dataset)
    if request.output.resolve() == dataset.root.resolve():
        raise UserError(request.output, "is the data set itself", "choose another output folder")
    scheme = get_scheme(request.mask_labels) if request.mask_labels else dataset.scheme or SCHEMES[USUAL]
    target = get_scheme(request.labels)
    _check_schemes(request, scheme, target)
    settings = SliceSettings(
        request.size,
        request.plane,
        target,
        request.rules,
        request.filtered,
        request.max_ratio,
        request.colours,
    )
    workers = workers_for(request.workers)
    check_writable(request.output)
    _check_empty(request.output)
    jobs = [Job(case, scheme, settings, request.output) for case in dataset.annotated]
    ids = [case.id for case in dataset.annotated]
    done = run_cases(_attempt, jobs, ids, "slices", workers)
    outcome = Outcome(tuple(done), scheme, request)
    write_text(request.output / INDEX, csv_text(COLUMNS, [row.cells for row in outcome.rows]))
    _check_some(outcome)
    return outcome


def _check_some(outcome: Outcome) -> None:
    """Says so where the filter has dropped every slice."""
    if not outcome.rows or any(row.written for row in outcome.rows):
        return
    request, results = outcome.request, [row.result for row in outcome.rows]
    classes = shown_classes(outcome.scheme, outcome.scheme.anatomies)
    problem = f"leaves none of {len(results)} slices: {why_none(results, request.max_ratio, classes)}"
    too_high = any(not each.missing for each in results)
    hint = "raise --max-ratio, or leave out --filter" if too_high else "leave it out"
    raise UserError("--filter", problem, f"see {request.output / INDEX}; {hint}")


def _check(request: SlicesRequest) -> None:
    if min(request.size) < LEAST:
        words = " x ".join(map(str, request.size))
        raise UserError("--size", f"is {words}", f"give a width and a height of at least {LEAST} pixels")
    if request.rules and request.plane != "sagittal":
        raise UserError(f"--clean {request.rules}", "works on sagittal slices", "leave out --plane")
    if not request.max_ratio >= 1:
        raise UserError("--max-ratio", f"is {request.max_ratio:g}", "give at least 1")


def _check_empty(output: Path) -> None:
    """Refuses a folder that holds slices: those of another size or filter would stay among the new ones."""
    if (output / INDEX).exists() or any(next(output.glob(f"{part}/*.png"), None) for part in PARTS):
        raise UserError(output, "holds slices already", "choose another output folder, or delete it first")


def _check_schemes(request: SlicesRequest, scheme: LabelScheme, target: LabelScheme) -> None:
    if len(missing_classes(scheme, target)) == len(target.anatomies):
        problem = f"has no label that {scheme.name} masks could become"
        raise UserError(f"--labels {target.name}", problem, "choose another, or name the masks' own with --mask-labels")
    if (request.filtered or request.rules) and not shown_classes(scheme, scheme.anatomies):
        problem = f"finds no vertebra, canal or disc in the scheme {scheme.name}"
        raise UserError("--filter" if request.filtered else "--clean", problem, "name another with --mask-labels")


def _attempt(job: Job) -> Done:
    try:
        return Done(tuple(extract(job.case, job.scheme, job.settings, job.output)))
    except UserError as error:
        return Done(failure=str(error))
