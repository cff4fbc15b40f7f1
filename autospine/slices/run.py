"""autospine_slices as one call: a data set of volumes in, PNG pairs with an index out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from autospine.core.errors import UserError
from autospine.core.files import check_writable, read_json, write_json, write_text
from autospine.core.machine import workers_for
from autospine.core.overwriting import check_folders
from autospine.core.parallel import try_cases
from autospine.core.tables import csv_text
from autospine.dataset.cases import load_dataset
from autospine.fingerprint.slice_filter import class_weights, describe, reasons, shown_classes, why_none
from autospine.labels.conversion import get_scheme, missing_classes
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.slices.extract import COLUMNS, FOLDERS, SliceJob, SliceRow, SlicesRequest, extract

log = logging.getLogger(__name__)
INDEX = "slices.csv"
RECORD = "slices.json"  # what was asked: the same command, interrupted or not, may write the same files again
DEFAULT_SCHEME = "spider"
SMALLEST = 16  # pixels


@dataclass(frozen=True)
class SlicesResult:
    """What came of a data set."""

    cases: tuple[list[SliceRow] | UserError, ...]  # rows of each case or why it failed, in the data set's order
    scheme: LabelScheme  # of its masks
    request: SlicesRequest  # what was asked

    @property
    def failures(self) -> tuple[str, ...]:
        """Return a line for each case that failed."""
        return tuple(str(case) for case in self.cases if isinstance(case, UserError))

    @property
    def rows(self) -> tuple[SliceRow, ...]:
        """Return the rows of all cases."""
        return tuple(row for case in self.cases if not isinstance(case, UserError) for row in case)

    def describe(self) -> str:
        """Return what a person reads at the end."""
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


def extract_slices(request: SlicesRequest) -> SlicesResult:
    """Write the slices of every annotated case; one that fails is named and the others finish.

    Raises:
        UserError: The data set, the size, the ratio or a scheme is at fault, the output holds other slices, or the
            filter leaves nothing.
    """
    _check(request)
    dataset = load_dataset(request.dataset)
    inputs = [path for case in dataset.annotated for path in (*case.images, case.mask) if path is not None]
    check_folders((request.output, *(request.output / folder for folder in FOLDERS)), inputs)
    scheme = get_scheme(request.mask_labels) if request.mask_labels else dataset.scheme or SCHEMES[DEFAULT_SCHEME]
    target = get_scheme(request.labels)
    _check_schemes(request, scheme, target)
    workers = workers_for(request.workers)
    check_writable(request.output)
    _begin(request, [case.id for case in dataset.annotated])
    jobs = [SliceJob(case, scheme, target, request) for case in dataset.annotated]
    cases = try_cases(extract, jobs, [case.id for case in dataset.annotated], "slices", workers, request.output)
    result = SlicesResult(tuple(cases), scheme, request)
    write_text(request.output / INDEX, csv_text(COLUMNS, [row.cells for row in result.rows]))
    _check_some(result)
    return result


def _check_some(result: SlicesResult) -> None:
    """Raise an error where the filter has dropped every slice."""
    if not result.rows or any(row.written for row in result.rows):
        return
    request, results = result.request, [row.result for row in result.rows]
    classes = shown_classes(result.scheme, result.scheme.anatomies)
    problem = f"leaves none of {len(results)} slices: {why_none(results, request.max_ratio, classes)}"
    too_high = any(not result.missing for result in results)
    hint = "raise --max-ratio, or leave out --filter" if too_high else "leave it out"
    raise UserError("--filter", problem, f"see {request.output / INDEX}; {hint}")


def _check(request: SlicesRequest) -> None:
    if min(request.size) < SMALLEST:
        size = " x ".join(map(str, request.size))
        raise UserError("--size", f"is {size}", f"give a width and a height of at least {SMALLEST} pixels")
    if request.rules and request.plane != "sagittal":
        raise UserError(f"--clean {request.rules}", "works on sagittal slices", "leave out --plane")
    if not request.max_ratio >= 1:
        raise UserError("--max-ratio", f"is {request.max_ratio:g}", "give at least 1")


def _begin(request: SlicesRequest, ids: list[str]) -> None:
    """Record what is asked, and refuse an output with other slices, which would stay there."""
    asked: dict[str, object] = {name: str(value) for name, value in vars(replace(request, workers=0)).items()}
    asked["cases"], record = ids, request.output / RECORD
    if record.exists() and read_json(record) == asked:
        return
    if any(next(request.output.glob(pattern), None) for pattern in (INDEX, *(f"{name}/*.png" for name in FOLDERS))):
        raise UserError(
            request.output, "holds other slices already", "choose another output folder, or delete it first"
        )
    write_json(record, asked)


def _check_schemes(request: SlicesRequest, scheme: LabelScheme, target: LabelScheme) -> None:
    if len(missing_classes(scheme, target)) == len(target.anatomies):
        problem = f"has no label that {scheme.name} masks could become"
        raise UserError(f"--labels {target.name}", problem, "choose another, or name the masks' own with --mask-labels")
    if (request.filtered or request.rules) and not shown_classes(scheme, scheme.anatomies):
        problem = f"finds no vertebra, canal or disc in the scheme {scheme.name}"
        raise UserError("--filter" if request.filtered else "--clean", problem, "name another with --mask-labels")
