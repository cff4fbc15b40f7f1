"""From an uploaded file to everything that the page shows of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from autospine.core.errors import UserError
from autospine.core.files import writing
from autospine.dataset.cases import patient_and_sequence
from autospine.inference.predict import segment
from autospine.inference.run import mask_suffix
from autospine.inference.segmentation import Segmentation
from autospine.overlay.draw import draw_overlay
from autospine.viewer.models import PageModels
from autospine.viewer.pictures import find_window
from autospine.volumes import Volume, read_image, volume_id


@dataclass(frozen=True)
class Download:
    """A file to be saved by the user."""

    name: str
    content: bytes


@dataclass(frozen=True)
class SegmentedScan:
    """A scan that was segmented."""

    id: str  # the file's name without its suffix
    scan: Volume  # as read, `(slices, rows, columns)`
    segmentation: Segmentation  # on the same grid
    overlay: bytes  # the PNG that `autospine_predict --overlay` draws
    window: tuple[float, float]  # darkest and brightest intensity worth showing
    mask: Download  # on the scan's own grid, in the scan's format
    report: Download  # what `autospine_predict` writes beside the mask


def segment_upload(name: str, content: bytes, models: PageModels) -> SegmentedScan:
    """Segment an uploaded scan; its files lie in a temporary folder that is deleted afterwards.

    Raises:
        UserError: The file is not a readable scan; the message names it as its owner does.
    """
    with TemporaryDirectory(prefix="autospine_view_") as folder, _errors_without(folder):
        path = _store(Path(folder), name, content)
        scan, (_, sequence) = read_image(path), patient_and_sequence(volume_id(path))
        with models.lock:
            segmentation = segment([scan], models.predictor, None, sequence)
        return _collect(volume_id(path), scan, segmentation, Path(folder) / "output", mask_suffix(path))


def _store(folder: Path, name: str, content: bytes) -> Path:
    name = Path(name.replace("\\", "/")).name or "scan"
    if name.lower().endswith(".mhd"):
        raise UserError(name, "is a header whose voxels lie in another file", "convert it to .mha, one file")
    path = folder / name
    with writing(path):
        path.write_bytes(content)
    return path


def _collect(case_id: str, scan: Volume, segmentation: Segmentation, folder: Path, suffix: str) -> SegmentedScan:
    """Write what `autospine_predict` writes, and read it into memory."""
    mask, report, picture = folder / f"mask{suffix}", folder / "report.json", folder / "overlay.png"
    segmentation.save(mask, report)
    scheme, remarks = segmentation.scheme, segmentation.remarks
    draw_overlay(scan.array, segmentation.mask, scan.spacing, scheme, picture, case_id, remarks)
    return SegmentedScan(
        id=case_id,
        scan=scan,
        segmentation=segmentation,
        overlay=picture.read_bytes(),
        window=find_window(scan.array),
        mask=Download(f"{case_id}_mask{suffix}", mask.read_bytes()),
        report=Download(f"{case_id}.json", report.read_bytes()),
    )


@contextmanager
def _errors_without(folder: str) -> Iterator[None]:
    """Let errors name a file as the user does, without the temporary folder."""
    try:
        yield
    except UserError as error:
        lines = (error.where, error.problem, error.hint)
        raise UserError(*(line.replace(f"{Path(folder)}/", "") for line in lines)) from error
