"""Prediction of many scans: the next is read and the last is written while the network works."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from autospine.core.boundary import Boundary
from autospine.core.errors import UserError
from autospine.core.files import check_writable, reading
from autospine.core.machine import find_machine, workers_for
from autospine.core.overwriting import check_files, check_folders
from autospine.core.parallel import together
from autospine.core.tables import DISCLAIMER
from autospine.dataset.cases import annotation_files, patient_and_sequence
from autospine.inference.model import Model, find_models
from autospine.inference.outputs import ScanOutputs
from autospine.inference.predict import describe_scan, prepare_scan, see_scan
from autospine.inference.predictor import Predictor, Prepared, Seen
from autospine.inference.segmentation import Segmentation
from autospine.labels.anatomy import Anatomy, Kind
from autospine.volumes import Volume, find_volumes, read_image, volume_id
from autospine.volumes.folders import names_file, output_paths, volume_suffix

log = logging.getLogger(__name__)
DICOM_SUFFIX = ".nii.gz"
NOUNS = {  # of several levels of a kind; "levels" for vertebrae
    Kind.DISC: "discs",
    Kind.BODY: "bodies",
    Kind.POSTERIOR_ELEMENTS: "posterior elements",
    Kind.LAMINA: "laminae",
    Kind.STRUCTURE: "structures",
}
Ready = tuple[Volume, Prepared]  # its first channel with it
Looked = tuple[Volume, Seen]
Finished = tuple[str, tuple[str, ...], float]  # a line about the scan, warnings, seconds in networks
SAYS_NOTHING = re.compile(r"(dicom|dcm|images?|series|scans?|files?|mri?|se|ser|s|im|st|i)?[\d._-]*")  # a folder's name


@dataclass(frozen=True)
class PredictRequest:
    """What autospine_predict is asked.

    Attributes:
        inputs: Scans, folders of scans, or DICOM folders.
        output: Folder for masks and reports.
        models: Folders of models, of their folds, or of ensembles, or names of installed models; without any, the
            default one of those that are installed.
        labels: Label scheme of the masks; None takes that of the model's card, else the data set's own.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: Number format of the networks; None takes the fastest of the device.
        workers: Threads that write; 0 is one per core.
        overlay: Write a picture with coloured labels beside each mask.
        probabilities: Write class probabilities (.npy) beside each mask.
        panoptic: Write instance maps and tables of the objects.
        overwrite: Predict again what is there already.
    """

    inputs: tuple[Path, ...]
    output: Path
    models: tuple[Path, ...] = ()
    labels: str | None = None
    device: str = "auto"
    precision: str | None = None
    workers: int = 0
    overlay: bool = False
    probabilities: bool = False
    panoptic: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Scan:
    """One scan to be segmented.

    Attributes:
        id: Name of its outputs.
        images: One file, or DICOM folder, per channel.
        suffix: Of the mask, as the scan's.
    """

    id: str
    images: tuple[Path, ...]
    suffix: str

    def read(self) -> list[Volume]:
        """Read one volume per channel.

        Raises:
            UserError: A volume cannot be read.
        """
        return [read_image(path) for path in self.images]

    def outputs(self, request: PredictRequest) -> ScanOutputs:
        """Return the files that a request wants of the scan."""
        (mask,) = output_paths(request.output, [f"{self.id}{self.suffix}"])
        return ScanOutputs.beside(mask, request.overlay, request.probabilities, request.panoptic)


@dataclass
class PredictResult:
    """What came of the scans of a request.

    Attributes:
        output: Folder of the masks.
        done: A line about each segmented scan, by its id.
        skipped: Ids whose mask existed already.
        failures: A line for each scan that failed.
        network_seconds: Spent in networks.
    """

    output: Path
    done: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    network_seconds: float = 0.0

    def describe(self) -> str:
        """Return the lines that the command prints at the end."""
        lines = [f"{id_}: {line}" for id_, line in self.done.items()]
        if self.skipped:
            count = f"{len(self.skipped)} scan{'s' if len(self.skipped) > 1 else ''}"
            lines.append(f"{count} had a mask already (--overwrite predicts again)")
        lines += [f"failed: {line}" for line in self.failures]
        masks = f"{len(self.done)} mask{'' if len(self.done) == 1 else 's'}"
        lines.append(f"{masks} written to {self.output}. {DISCLAIMER}")
        return "\n".join(lines)


def predict_scans(request: PredictRequest) -> PredictResult:
    """Segment every scan of a request; a scan that fails is named and the others finish.

    Raises:
        UserError: The models or the input cannot be used at all.
    """
    models = find_models(request.models)
    result, waiting = PredictResult(request.output), []
    scans = _scans_of(request, models[0].card.plan.channels, result)
    _check_outputs(request, scans)
    for scan in scans:
        if scan.outputs(request).done and not request.overwrite:
            result.skipped.append(scan.id)
        else:
            waiting.append(scan)
    if waiting:
        _segment_scans(waiting, models, request, result)
    return result


def _scans_of(request: PredictRequest, channels: tuple[str, ...], result: PredictResult) -> list[Scan]:
    """Return the scans of all inputs; an input that holds none is a failure of the result.

    Raises:
        UserError: No input holds a scan, or two scans have one name.
    """
    found = [
        Boundary("predict").attempt(str(path), partial(find_scans, channels=channels), [path])
        for path in request.inputs
    ]
    errors = [scans for scans in found if isinstance(scans, UserError)]
    if len(errors) == len(found):
        raise together(errors)
    result.failures += map(str, errors)
    scans = [scan for of_one in found if not isinstance(of_one, UserError) for scan in of_one]
    _check_names(scans)
    return scans


def _check_outputs(request: PredictRequest, scans: Sequence[Scan]) -> None:
    """Check that what is written replaces neither a scan nor a mask of its data set."""
    output_paths(request.output, [scan.id for scan in scans])  # refuses one file for several
    outputs = [scan.outputs(request) for scan in scans]
    annotations = [mask for path in request.inputs for mask in annotation_files(path)]
    inputs = [*(path for scan in scans for path in scan.images), *annotations]
    check_folders(() if names_file(request.output) else (request.output,), inputs)
    check_files([file for scan_outputs in outputs for file in scan_outputs.files], inputs)
    check_writable(outputs[0].mask.parent)


def find_scans(inputs: Sequence[Path], channels: tuple[str, ...]) -> list[Scan]:
    """Find the scans of files and folders.

    Raises:
        UserError: A path does not exist, two scans have one name, or channels are missing.
    """
    scans: list[Scan] = []
    for path in inputs:
        if not path.exists():
            raise UserError(path, "does not exist", "name a scan or a folder of scans")
        if path.is_file():
            scans += _group([path], channels)
            continue
        images = path / "images" if (path / "images").is_dir() else path
        with reading(images):
            holds_volumes = any(volume_suffix(file) for file in images.iterdir() if file.is_file())
        files = find_volumes(images) if holds_volumes else []
        if files:
            scans += _group(files, channels)
        else:
            scans.append(Scan(series_name(path.resolve()), (path,), DICOM_SUFFIX))
    _check_names(scans)
    return scans


def _check_names(scans: Sequence[Scan]) -> None:
    names = [scan.id for scan in scans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(twice[0], "stands for two scans", "predict them into two folders")


def series_name(folder: Path) -> str:
    """Return what a DICOM folder's mask is called: its name, behind its parent's where it says nothing.

    Example:
        >>> series_name(Path("patient7/DICOM")), series_name(Path("patient7/t2_sagittal"))
        ('patient7_DICOM', 't2_sagittal')
    """
    return f"{folder.parent.name}_{folder.name}" if SAYS_NOTHING.fullmatch(folder.name.lower()) else folder.name


def _group(files: Sequence[Path], channels: tuple[str, ...]) -> list[Scan]:
    """Make one scan per file, or per group of <id>_0000, <id>_0001, ... where the model takes several channels."""
    if len(channels) == 1:
        ids = {path: volume_id(path) for path in files}
        known = set(ids.values())
        for path, id_ in ids.items():  # nnU-Net's number of the only channel
            name = id_.removesuffix("_0000")
            if name and not {name, f"{name}_0001"} & known:
                ids[path] = name
        return [Scan(id_, (path,), mask_suffix(path)) for path, id_ in ids.items()]
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(volume_id(path).rpartition("_")[0] or volume_id(path), []).append(path)
    for name, group in groups.items():
        if len(group) != len(channels):
            raise UserError(
                group[0],
                f"has {len(group)} channel files, the model needs {len(channels)} ({', '.join(channels)})",
                f"name them {name}_0000, {name}_0001, ...",
            )
    return [Scan(name, tuple(sorted(group)), mask_suffix(group[0])) for name, group in groups.items()]


def mask_suffix(path: Path) -> str:
    """Return the suffix of a scan's mask: the scan's own, but one file where the scan has a header file."""
    suffix = volume_suffix(path) or path.suffix.lower() or DICOM_SUFFIX
    return {".mhd": ".mha", ".nhdr": ".nrrd"}.get(suffix, suffix)


def _segment_scans(scans: list[Scan], models: list[Model], request: PredictRequest, result: PredictResult) -> None:
    """Read and resample ahead in one thread, decide and write behind in others, while this one lets networks see."""
    workers = max(workers_for(request.workers), 1)
    boundary = Boundary("predict", scans[0].outputs(request).mask.parent)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(workers) as writers:
        reading = reader.submit(boundary.attempt, scans[0].id, Scan.read, scans[0])
        predictor = Predictor(models, torch.device(find_machine(request.device, None).device), request.precision)
        pipeline = _Pipeline(request, predictor, boundary, result)
        following = reader.submit(pipeline.prepare, scans[0], reading.result)
        for index, scan in enumerate(tqdm(scans, desc="predict", unit="scan", disable=None, leave=False)):
            current = following
            if index + 1 < len(scans):
                later = scans[index + 1]
                following = reader.submit(
                    pipeline.prepare, later, partial(boundary.attempt, later.id, Scan.read, later)
                )
            seen = pipeline.see(scan, current.result())
            pipeline.note(workers)  # what is decided takes memory
            pipeline.writing.append((scan, writers.submit(pipeline.finish, scan, seen)))
        pipeline.note(0)


@dataclass
class _Pipeline:
    """The three steps of every scan, each in its own thread; a step's error takes the place of its result."""

    request: PredictRequest
    predictor: Predictor
    boundary: Boundary
    result: PredictResult
    writing: deque[tuple[Scan, Future[Finished | UserError]]] = field(default_factory=deque)

    def prepare(self, scan: Scan, read: Callable[[], list[Volume] | UserError]) -> Ready | UserError:
        """Bring a scan that was read to the plan's grid."""
        channels = read()
        if isinstance(channels, UserError):
            return channels
        prepared = self.boundary.attempt(scan.id, partial(prepare_scan, predictor=self.predictor), channels)
        return prepared if isinstance(prepared, UserError) else (channels[0], prepared)

    def see(self, scan: Scan, ready: Ready | UserError) -> Looked | UserError:
        """Let the networks see a scan."""
        if isinstance(ready, UserError):
            return ready

        def look(prepared: Prepared) -> Looked:
            outputs = scan.outputs(self.request)
            outputs.check_report([model.name for model in self.predictor.models], self.request.overwrite)
            return image, see_scan(image, prepared, self.predictor, outputs.probabilities, self.request.panoptic)

        image, prepared = ready
        return self.boundary.attempt(scan.id, look, prepared)

    def finish(self, scan: Scan, looked: Looked | UserError) -> Finished | UserError:
        """Decide, and write what is asked for."""
        return (
            looked
            if isinstance(looked, UserError)
            else self.boundary.attempt(scan.id, partial(self._write, scan), looked)
        )

    def _write(self, scan: Scan, looked: Looked) -> Finished:
        image, seen = looked
        sequence = patient_and_sequence(scan.id)[1]
        segmentation = describe_scan(image, seen, self.predictor, self.request.labels, sequence)
        remarks = (*segmentation.warnings, *segmentation.remarks)
        return _write(scan, self.request, image, segmentation), remarks, segmentation.network_seconds

    def note(self, waiting: int) -> None:
        """Take note of finished scans, in order, until at most so many are unfinished."""
        while len(self.writing) > waiting:
            scan, future = self.writing.popleft()
            finished = future.result()
            if isinstance(finished, UserError):
                self.result.failures.append(str(finished))
                continue
            line, warnings, seconds = finished
            for warning in warnings:
                log.warning("%s: %s", scan.id, warning)
            self.result.network_seconds += seconds
            self.result.done[scan.id] = line


def _write(scan: Scan, request: PredictRequest, image: Volume, segmentation: Segmentation) -> str:
    """Write what is asked for of a scan, its report last; return a line about it."""
    outputs = scan.outputs(request)
    outputs.begin(segmentation.volume, request.overwrite)
    if outputs.overlay:
        from autospine.overlay.draw import draw_overlay

        mask, scheme, remarks = segmentation.mask, segmentation.scheme, segmentation.remarks
        draw_overlay(image.array, mask, image.spacing, scheme, outputs.overlay, scan.id, remarks)
    if outputs.instances and outputs.objects:
        from autospine.inference.panoptic import panoptic

        objects = panoptic(segmentation.volume, segmentation.scheme, segmentation.interpolated_labels)
        objects.save(outputs.instances, outputs.objects)
    segmentation.save(outputs.mask, outputs.report)
    return describe_segmentation(segmentation)


def describe_segmentation(segmentation: Segmentation) -> str:
    """Return one line: the ranges of labels by kind, why levels are ambiguous, and what is implausible."""
    kinds: dict[Kind, list[Anatomy]] = {}
    for report in segmentation.labels:
        anatomy = Anatomy.parse(report.anatomy)
        kinds.setdefault(anatomy.kind, []).append(anatomy)
    text = ", ".join(_range(anatomies) for anatomies in sorted(map(sorted, kinds.values()))) or "nothing was found"
    return "; ".join((text, *segmentation.remarks))


def _range(anatomies: list[Anatomy]) -> str:
    """Name anatomies of one kind, from the lowest level up: "L5 to T12", "6 discs L5/S1 to T12/L1"."""
    first, last = anatomies[0], anatomies[-1]
    if first == last:
        return first.name
    noun = NOUNS.get(first.kind, "levels")
    return f"{len(anatomies)} {noun} {first.short_name} to {last.short_name}"
