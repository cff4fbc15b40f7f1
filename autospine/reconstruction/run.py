"""Interpolate slices of scan files, and of masks and their measurements with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import check_writable
from autospine.core.machine import workers_for
from autospine.core.overwriting import check_files, check_folders
from autospine.core.parallel import try_cases
from autospine.core.tables import DISCLAIMER
from autospine.reconstruction.annotated import annotated_slices
from autospine.reconstruction.dataset_files import check_copies, copy_files, scheme_of, small_files
from autospine.reconstruction.grid import SliceGrid, plan_slices
from autospine.reconstruction.images import Method, interpolate_image
from autospine.reconstruction.masks import Rule, interpolate_mask
from autospine.reconstruction.measurements import Measurement, measure, write_measurements
from autospine.volumes import Volume, find_volumes, read_image, read_mask, volume_id, write_volume
from autospine.volumes.folders import check_table, names_file, output_paths, written_name
from autospine.volumes.geometry import three, triple

LARGEST_GIB = 16  # an interpolated scan above it is surely a slip of --slice-spacing
AXES = ("left-right", "top-bottom", "front-back")


@dataclass(frozen=True)
class ReconstructRequest:
    """What autospine_reconstruct is asked.

    Attributes:
        input: A scan, a folder of them or a DICOM folder.
        output: Folder for the scans; with masks, of images/ and masks/.
        masks: Folder of masks of the same names.
        slice_spacing: Wanted slice distance in mm.
        method: How images are interpolated: "linear", "cubic" or "registration".
        mask_rule: How masks are interpolated: "aligned" or "box".
        table: CSV for measurements of every label in every slice.
        workers: Processes at once; 0 is one per core.
    """

    input: Path
    output: Path
    masks: Path | None = None
    slice_spacing: float = 1.0
    method: Method = "linear"
    mask_rule: Rule = "aligned"
    table: Path | None = None
    workers: int = 0

    @property
    def folders(self) -> tuple[Path, ...]:
        """Return the folders that are written into; none where the output is the file of one scan."""
        if self.masks is not None:
            return self.output, self.output / "images", self.output / "masks"
        return () if names_file(self.output) else (self.output,)


@dataclass(frozen=True)
class ReconstructionJob:
    """One scan whose slices are interpolated, its mask if there is one, and the ignore label, as read and as stored."""

    id: str
    image: Path
    mask: Path | None
    request: ReconstructRequest
    ignore_label: int | None = None
    negative: tuple[int, int] | None = None

    @property
    def targets(self) -> tuple[Path, ...]:
        """Return where the scan goes, and its mask."""
        output = self.request.output
        if not self.request.folders:
            return (output,)
        if self.mask is None:
            return (output / written_name(self.image),)
        suffix = written_name(self.mask).removeprefix(volume_id(self.mask))
        return output / "images" / written_name(self.image), output / "masks" / f"{self.id}{suffix}"


@dataclass(frozen=True)
class InterpolatedScan:
    """Result of one scan: a line about its slices, and the measurements of its mask where a table was asked for."""

    id: str
    summary: str
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class ReconstructResult:
    """Result of all scans."""

    done: tuple[InterpolatedScan, ...]  # those that were written
    failures: tuple[str, ...]  # a line for each that was not
    output: Path  # folder of the scans

    def describe(self) -> str:
        """Return what a person reads at the end."""
        lines = [f"{scan.id}: {scan.summary}" for scan in self.done]
        count = f"{len(self.done)} scan{'' if len(self.done) == 1 else 's'}"
        return "\n".join([*lines, f"{count} written to {self.output}. {DISCLAIMER}"])


def reconstruct_all(request: ReconstructRequest) -> ReconstructResult:
    """Interpolate slices of every scan of the request; one that fails is named and the others finish.

    Scans go to OUT, or, with masks, to OUT/images and OUT/masks, which is a data set and gets the tables of the
    one that they came from.

    Raises:
        UserError: The request itself cannot be followed.
    """
    files = () if request.masks is None else small_files(request.input, request.masks)
    jobs = _find_jobs(request, files)
    check_copies(files, request.output)
    if request.table is not None:
        _check_table(request.table, jobs)
    check_writable(request.output if request.folders else request.output.parent)
    copy_files(files, request.output)  # first: an interrupted run must not lose who is for validation
    names, workers = [job.id for job in jobs], workers_for(request.workers)
    results = try_cases(_interpolate, jobs, names, "reconstruct", workers, request.output)
    done = tuple(result for result in results if not isinstance(result, UserError))
    if request.table is not None:
        write_measurements(request.table, [(scan.id, scan.measurements) for scan in done])
    failures = tuple(str(result) for result in results if isinstance(result, UserError))
    return ReconstructResult(done, failures, request.output)


def thick_axis(volume: Volume) -> int:
    """Return the canonical axis across the slices: the only one of a single slice, else the coarsest."""
    shape = volume.array.shape
    return shape.index(1) if 1 in shape else int(np.argmax(volume.spacing))


def on_slice_grid(volume: Volume, array: np.ndarray, grid: SliceGrid, axis: int) -> Volume:
    """Return the volume with other slices: the first measured slice stays where it is, and so do all others."""
    size, spacing, canonical = list(volume.geometry.size), list(volume.geometry.spacing), list(volume.spacing)
    file_axis = volume.axes[axis]
    size[file_axis], spacing[file_axis], canonical[axis] = grid.count, grid.spacing_mm, grid.spacing_mm
    geometry = replace(volume.geometry, size=three(size), spacing=triple(spacing))
    return replace(volume, array=array, spacing=triple(canonical), geometry=geometry)


def _find_jobs(request: ReconstructRequest, files: Sequence[Path]) -> list[ReconstructionJob]:
    """Make a job for each scan; `files` are the data set's tables."""
    if not 0 < request.slice_spacing < math.inf:
        raise UserError("--slice-spacing", f"is {request.slice_spacing:g}", "give millimetres above 0")
    if request.table is not None and request.masks is None:
        raise UserError("--table", "measures masks, and there are none", "add --masks")
    scans = request.input
    if scans.name in ("", ".."):  # a link keeps its name, "." has none
        scans = scans.resolve()
    images = find_volumes(scans / "images" if (scans / "images").is_dir() else scans)
    mask_files = find_volumes(request.masks) if request.masks is not None else []
    masks = {volume_id(path): path for path in mask_files}
    if request.input.is_file() and len(mask_files) == 1:
        masks = {volume_id(request.input): mask_files[0]}
    scheme = scheme_of(files)
    ignored = (scheme.ignore_label, scheme.negative) if scheme else (None, None)
    jobs = [ReconstructionJob(volume_id(path), path, masks.get(volume_id(path)), request, *ignored) for path in images]
    if request.masks is None:
        output_paths(request.output, [job.id for job in jobs])
    targets = [target for job in jobs for target in job.targets]
    check_folders(request.folders, (*images, *mask_files))
    check_files(targets if request.table is None else [*targets, request.table], (*images, *mask_files, *files))
    return jobs


def _check_table(table: Path, jobs: Sequence[ReconstructionJob]) -> None:
    """Check before long work that the table can be written, also where a folder is still to be made."""
    folders = {parent for job in jobs for target in job.targets for parent in target.resolve().parents}
    check_table(table)
    if table.is_dir() or table.resolve() in folders:
        raise UserError(table, "is a folder", "give a file for the table")
    check_writable(table.parent)


def _interpolate(job: ReconstructionJob) -> InterpolatedScan:
    request = job.request
    if request.masks is not None and job.mask is None:
        raise UserError(job.image, f"has no mask in {request.masks}", "add it, or leave --masks out")
    image = read_image(job.image)
    axis = thick_axis(image)
    grid = plan_slices(image.array.shape[axis], image.spacing[axis], request.slice_spacing)
    _check_size(job.image, grid, image.array.size // grid.measured)
    slices = np.moveaxis(image.array, axis, 0)  # (slices, rows, columns) as they were measured
    rows, columns = np.delete(image.spacing, axis)
    summary = describe(grid, axis)
    mask: Volume | None = None
    measurements: tuple[Measurement, ...] = ()
    if job.mask is not None:
        mask = _read_mask_of(job.mask, image, job.negative)
        labels = np.moveaxis(mask.array, axis, 0)
        annotated = annotated_slices(_annotated_only(labels, job.ignore_label))
        summary += _describe_skipped(grid.measured - len(annotated))
        spacing = (grid.gap_mm, rows, columns)
        labels = interpolate_mask(labels, grid, spacing, request.mask_rule, job.ignore_label)
        if request.table is not None:
            spacing, indices = (grid.spacing_mm, rows, columns), (annotated * grid.subdivisions).tolist()
            measurements = measure(_annotated_only(labels, job.ignore_label), spacing, indices)
        mask = on_slice_grid(mask, np.moveaxis(labels, 0, axis), grid, axis)
    interpolated = interpolate_image(slices[None], grid, request.method, (rows, columns))[0]
    write_volume(on_slice_grid(image, np.moveaxis(interpolated, 0, axis), grid, axis), job.targets[0])
    if mask is not None:
        write_volume(mask, job.targets[1])
    return InterpolatedScan(job.id, summary, measurements)


def _read_mask_of(path: Path, image: Volume, negative: tuple[int, int] | None) -> Volume:
    mask = read_mask(path, negative)
    difference = image.geometry.difference(mask.geometry)
    if difference:
        raise UserError(path, f"lies on another grid than its scan ({difference})", "resample it")
    return mask


def _check_size(image: Path, grid: SliceGrid, pixels: int) -> None:
    gib = grid.count * pixels * 4 / 2**30
    if gib > LARGEST_GIB:
        problem = f"would have {grid.count} slices ({gib:.0f} GiB)"
        raise UserError(image, problem, "choose a larger --slice-spacing")


def describe(grid: SliceGrid, axis: int) -> str:
    """Say how many slices are measured and how many interpolated."""
    if grid.measured == 1:
        return "one slice, nothing lies between"
    measured = f"{grid.measured} slices measured every {grid.gap_mm:.4g} mm {AXES[axis]}"
    if grid.subdivisions == 1:
        return f"{measured}, fine enough already"
    return f"{measured}, {grid.interpolated} interpolated: {grid.count} every {grid.spacing_mm:.4g} mm"


def _annotated_only(labels: np.ndarray, ignore_label: int | None) -> np.ndarray:
    """Return `(slices, rows, columns)` labels with background where nobody annotated."""
    return labels if ignore_label is None else np.where(labels == ignore_label, labels.dtype.type(0), labels)


def _describe_skipped(skipped: int) -> str:
    if not skipped:
        return ""
    what = "slice is not" if skipped == 1 else "slices are not"
    return f"; {skipped} {what} annotated between others, filled in"
