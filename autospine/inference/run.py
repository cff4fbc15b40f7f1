"""Many scans in one command: the next is read and the last is written while the network works."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from autospine.core.errors import UserError
from autospine.core.files import make_folder
from autospine.core.machine import find_machine, workers_for
from autospine.dataset.cases import patient_and_sequence
from autospine.inference.model import Model, find_models
from autospine.inference.predict import segment
from autospine.inference.predictor import Predictor
from autospine.inference.segmentation import Segmentation
from autospine.labels.anatomy import Anatomy, Kind
from autospine.volumes import Volume, find_volumes, read_image, volume_id

log = logging.getLogger(__name__)
DICOM_SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class PredictRequest:
    """What autospine_predict is asked.

    Attributes:
        inputs: Scans, folders of scans, or DICOM folders.
        output: Folder for masks and reports.
        models: Folders of models, of their folds, or of ensembles.
        labels: Label scheme of the masks; None takes the data set's own.
        device: "auto", "cpu" or "cuda".
        workers: Threads that write; 0 is one per core.
        overlay: Write a picture with coloured labels beside each mask.
        probabilities: Write class probabilities (.npy) beside each mask.
        panoptic: Write instance maps and tables of the objects.
        overwrite: Predict again what is there already.
    """

    inputs: tuple[Path, ...]
    output: Path
    models: tuple[Path, ...]
    labels: str | None = None
    device: str = "auto"
    workers: int = 0
    overlay: bool = False
    probabilities: bool = False
    panoptic: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Scan:
    """One scan to be segmented.

    Attributes:
        id: Names its outputs.
        images: One file, or DICOM folder, per channel.
        suffix: Of the mask, as the scan's.
    """

    id: str
    images: tuple[Path, ...]
    suffix: str


@dataclass
class PredictResult:
    """What came of a batch.

    Attributes:
        output: Folder of the masks.
        done: Ids and a line about each.
        skipped: Ids whose mask was there already.
        failures: A line for each scan that failed.
        network_seconds: Spent in networks.
    """

    output: Path
    done: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    network_seconds: float = 0.0

    def describe(self) -> str:
        """What a person reads at the end."""
        lines = [f"{name}: {what}" for name, what in self.done.items()]
        if self.skipped:
            count = f"{len(self.skipped)} scan{'s' if len(self.skipped) > 1 else ''}"
            lines.append(f"{count} had a mask already (--overwrite predicts again)")
        lines += [f"failed: {line}" for line in self.failures]
        masks = f"{len(self.done)} mask{'' if len(self.done) == 1 else 's'}"
        lines.append(f"{masks} written to {self.output}. For research, not a medical device.")
        return "\n".join(lines)


def predict_scans(request: PredictRequest) -> PredictResult:
    """Segments every scan of the request; one that fails is named and the others finish.

    Raises:
        UserError: The models or the input cannot be used at all.
    """
    models = find_models(request.models)
    scans = find_scans(request.inputs, models[0].card.plan.channels)
    make_folder(request.output)
    outcome = PredictResult(request.output)
    waiting = []
    for scan in scans:
        if (request.output / f"{scan.id}{scan.suffix}").exists() and not request.overwrite:
            outcome.skipped.append(scan.id)
        else:
            waiting.append(scan)
    if waiting:
        _work(waiting, models, request, outcome)
    return outcome


def find_scans(inputs: Sequence[Path], channels: tuple[str, ...]) -> list[Scan]:
    """Scans of files and folders.

    Raises:
        UserError: Nothing there, two scans of one name, or channels missing.
    """
    found: list[Scan] = []
    for place in inputs:
        if not place.exists():
            raise UserError(place, "does not exist", "name a scan or a folder of scans")
        if place.is_file():
            found.append(Scan(volume_id(place), (place,), mask_suffix(place)))
            continue
        images = place / "images" if (place / "images").is_dir() else place
        files = find_volumes(images) if _holds_volumes(images) else []
        if files:
            found += _group(files, channels)
        else:
            found.append(Scan(place.resolve().name, (place,), DICOM_SUFFIX))
    names = [scan.id for scan in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(twice[0], "stands for two scans", "predict them into two folders")
    return found


def _holds_volumes(folder: Path) -> bool:
    known = (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd")
    return any(path.name.lower().endswith(known) for path in folder.iterdir() if path.is_file())


def _group(files: Sequence[Path], channels: tuple[str, ...]) -> list[Scan]:
    """One scan per file, or per group of <id>_0000, <id>_0001, ... where the model takes several channels."""
    if len(channels) == 1:
        return [Scan(volume_id(path), (path,), mask_suffix(path)) for path in files]
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
    """.nii.gz as a whole; a header file's mask is one .mha."""
    name = path.name.lower()
    if name.endswith(".nii.gz"):
        return ".nii.gz"
    return {".mhd": ".mha", ".nhdr": ".nrrd"}.get(path.suffix.lower(), path.suffix.lower() or DICOM_SUFFIX)


def _work(scans: list[Scan], models: list[Model], request: PredictRequest, outcome: PredictResult) -> None:
    """Reads ahead in one thread and writes behind in others, while this one computes."""
    workers = workers_for(request.workers)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(max(workers, 1)) as writers:
        reading = reader.submit(_read, scans[0])
        device = torch.device(find_machine(request.device, None).device)
        predictor = Predictor(models, device)
        writing: list[tuple[Scan, Future[str]]] = []
        for index, scan in enumerate(tqdm(scans, desc="predict", unit="scan", disable=None, leave=False)):
            current, reading = (
                reading,
                reader.submit(_read, scans[index + 1]) if index + 1 < len(scans) else reading,
            )
            try:
                channels = current.result()
                store = request.output / f"{scan.id}.npy" if request.probabilities else None
                _, sequence = patient_and_sequence(scan.id)
                found = segment(channels, predictor, models, request.labels, sequence, store, request.panoptic)
            except UserError as error:
                outcome.failures.append(str(error))
                continue
            for warning in found.warnings:
                log.warning("%s: %s", scan.id, warning)
            outcome.network_seconds += found.network_seconds
            writing.append((scan, writers.submit(_write, scan, channels[0], found, request)))
        for scan, future in writing:
            try:
                outcome.done[scan.id] = future.result()
            except UserError as error:
                outcome.failures.append(str(error))


def _read(scan: Scan) -> list[Volume]:
    return [read_image(path) for path in scan.images]


def _write(scan: Scan, image: Volume, found: Segmentation, request: PredictRequest) -> str:
    found.save(request.output / f"{scan.id}{scan.suffix}", request.output / f"{scan.id}.json")
    if request.overlay:
        from autospine.overlay.draw import draw_overlay

        draw_overlay(image.array, found.mask, image.spacing, found.scheme, request.output / f"{scan.id}.png", scan.id)
    if request.panoptic:
        from autospine.inference.panoptic import panoptic

        folder = request.output / "panoptic"
        panoptic(found.volume, found.scheme, found.stack).save(
            folder / f"{scan.id}{scan.suffix}", folder / f"{scan.id}.json"
        )
    return _line(found)


def _line(found: Segmentation) -> str:
    if not found.labels:
        return "nothing was found"
    kinds: dict[Kind, list[Anatomy]] = {}
    for report in found.labels:
        anatomy = Anatomy.parse(report.anatomy)
        kinds.setdefault(anatomy.kind, []).append(anatomy)
    text = ", ".join(_range(anatomies) for anatomies in sorted(map(sorted, kinds.values())))
    return f"{text}; AMBIGUOUS levels: {found.ambiguous}" if found.ambiguous else text


def _range(anatomies: list[Anatomy]) -> str:
    """Anatomies of one kind, from the lowest level up: "L5 to T12", "6 discs L5/S1 to T12/L1"."""
    first, last = anatomies[0], anatomies[-1]
    if first == last:
        return first.name
    noun = {Kind.DISC: "discs", Kind.STRUCTURE: "structures"}.get(first.kind, "levels")
    return f"{len(anatomies)} {noun} {first.short_name} to {last.short_name}"
