"""From an uploaded file to everything that the page shows of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from autospine.core.errors import UserError
from autospine.core.files import writing
from autospine.dataset.cases import SEQUENCES, SERIES, UNKNOWN
from autospine.inference.predict import Segmentation, segment
from autospine.inference.run import mask_suffix
from autospine.overlay.draw import draw_overlay
from autospine.viewer.loading import Loaded
from autospine.viewer.pictures import find_window
from autospine.volumes import Volume, read_image, volume_id


@dataclass(frozen=True)
class Download:
    """A file to be saved by the user."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Examined:
    """A scan that was segmented.

    Attributes:
        id: The file's name without its suffix.
        scan: As read, `(slices, rows, columns)`.
        found: Its segmentation, on the same grid.
        overlay: The PNG that `autospine_predict --overlay` draws.
        window: Darkest and brightest intensity worth showing.
        mask: On the scan's own grid, in the scan's format.
        report: What `autospine_predict` writes beside the mask.
    """

    id: str
    scan: Volume
    found: Segmentation
    overlay: bytes
    window: tuple[float, float]
    mask: Download
    report: Download


def examine(name: str, content: bytes, loaded: Loaded) -> Examined:
    """Segments an uploaded scan; its files lie in a temporary folder that is gone afterwards.

    Args:
        name: Of the file, as its owner calls it.
        content: Its bytes.
        loaded: The model.

    Raises:
        UserError: The file is not a readable scan; the message names it as its owner does.
    """
    with TemporaryDirectory(prefix="autospine_view_") as folder, _without(folder):
        path = _store(Path(folder), name, content)
        scan = read_image(path)
        with loaded.turn:
            found = segment([scan], loaded.predictor, loaded.models, None, sequence_of(volume_id(path)))
        return _collect(volume_id(path), scan, found, Path(folder) / "found", mask_suffix(path))


def sequence_of(case_id: str) -> str:
    """The sequence that a file's name states: "t1" for "5_t1", "unknown" if it states none."""
    said = SERIES.match(case_id)
    return SEQUENCES[said["sequence"].lower()] if said else UNKNOWN


def _store(folder: Path, name: str, content: bytes) -> Path:
    name = Path(name.replace("\\", "/")).name or "scan"
    if name.lower().endswith(".mhd"):
        raise UserError(name, "is a header whose voxels lie in another file", "convert it to .mha, one file")
    path = folder / name
    with writing(path):
        path.write_bytes(content)
    return path


def _collect(case_id: str, scan: Volume, found: Segmentation, folder: Path, suffix: str) -> Examined:
    """Writes what `autospine_predict` writes, and keeps it in memory."""
    mask, report, picture = folder / f"mask{suffix}", folder / "report.json", folder / "overlay.png"
    found.save(mask, report)
    draw_overlay(scan.array, found.mask, scan.spacing, found.scheme, picture, case_id)
    return Examined(
        id=case_id,
        scan=scan,
        found=found,
        overlay=picture.read_bytes(),
        window=find_window(scan.array),
        mask=Download(f"{case_id}_mask{suffix}", mask.read_bytes()),
        report=Download(f"{case_id}.json", report.read_bytes()),
    )


@contextmanager
def _without(folder: str) -> Iterator[None]:
    """Errors name a file as the user does, not the place where it lies for a moment."""
    try:
        yield
    except UserError as error:
        parts = (error.where, error.problem, error.hint)
        where, problem, hint = (part.replace(f"{Path(folder)}/", "") for part in parts)
        raise UserError(where, problem, hint) from error
