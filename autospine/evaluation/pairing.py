"""Which prediction belongs to which reference, and what else is known of a case: image, patient, table row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.cases import (
    CHANNEL,
    LAYOUTS,
    MASK_WORD,
    listed,
    patient_and_sequence,
)
from autospine.dataset.metadata import read_overview, read_patients
from autospine.volumes.folders import find_volumes, holds_dicom, volume_id

HINT = "give a mask or a folder of masks"


@dataclass(frozen=True)
class References:
    """The masks that predictions are compared with.

    Attributes:
        place: The file or folder given.
        masks: Files by case id, in natural order.
        patients: Whose scan each case is.
        images: Scans by case id, where there are any.
        table: Rows of overview.csv by case id; empty without one.
        table_path: Where that file is, or would be.
    """

    place: Path
    masks: Mapping[str, Path]
    patients: Mapping[str, str]
    images: Mapping[str, Path] = field(default_factory=dict)
    table: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    table_path: Path = Path("overview.csv")


def find_references(place: str | Path, images: str | Path | None = None) -> References:
    """Lists references without reading any voxels.

    Args:
        place: A mask, a folder of masks, or a data set (see `autospine.dataset`).
        images: Folder of the scans; None: those of the data set, if `place` is one or its folder of masks.

    Raises:
        UserError: There are no masks, or a table is at fault.
    """
    place = Path(place)
    root = _dataset_root(place)
    scans = _scans(Path(images) if images is not None else _image_folder(root))
    masks = {_case_id(name, scans): path for name, path in _masks(place).items()}
    folder = root or (place if place.is_dir() else place.parent)
    named = read_patients(folder / "patients.csv")
    return References(
        place=place,
        masks=masks,
        patients={id_: named.get(id_) or patient_and_sequence(id_)[0] for id_ in masks},
        images={id_: scans[id_] for id_ in masks if id_ in scans},
        table=read_overview(folder / "overview.csv"),
        table_path=folder / "overview.csv",
    )


def find_predictions(place: str | Path, references: References) -> dict[str, Path]:
    """Predicted masks by the id of their case; two single files pair whatever their names.

    Raises:
        UserError: There are no masks, a file stands against a folder, or no name fits any reference.
    """
    place = Path(place)
    found = _masks(place)
    alone = (_is_volume(place), _is_volume(references.place))
    if alone[0] != alone[1]:
        one, other = ("one mask", "a folder") if alone[0] else ("a folder", "one mask")
        raise UserError(place, f"is {one}, {references.place} is {other}", "give two masks or two folders")
    if all(alone):
        return dict(zip(references.masks, found.values(), strict=True))
    if not set(found) & set(references.masks):
        problem = f"shares no case id with {references.place}"
        near = suggestions(found, references.masks)
        if near:
            problem += f" ({listed([f'{found[ours].name} is like {theirs}' for ours, theirs in near.items()], 3)})"
        raise UserError(place, problem, "name each prediction like its reference")
    return found


def suggestions(predictions: Iterable[str], references: Iterable[str]) -> dict[str, str]:
    """For predictions without a reference the free reference whose name they seem to mean.

    Example:
        >>> suggestions(["5_t2_seg", "6_t2_0000", "7"], ["5_t2", "6_t2", "8"])
        {'5_t2_seg': '5_t2', '6_t2_0000': '6_t2'}
    """
    ours, theirs = set(predictions), set(references)
    free = {_bare(id_): id_ for id_ in sorted(theirs - ours)}
    return {id_: free[_bare(id_)] for id_ in predictions if id_ not in theirs and _bare(id_) in free}


def _bare(id_: str) -> str:
    """An id without the words and channel numbers that tools add."""
    numbered = CHANNEL.match(id_)
    return MASK_WORD.sub("", numbered["id"] if numbered else id_).lower()


def _is_volume(place: Path) -> bool:
    """A file, or a folder that is one DICOM series."""
    return place.is_file() or holds_dicom(place)


def _masks(place: Path) -> dict[str, Path]:
    if not place.exists():
        raise UserError(place, "does not exist", HINT)
    if place.is_file():
        return {volume_id(place): place}
    inner = [place / masks for _, masks in LAYOUTS if (place / masks).is_dir()]
    folder = inner[0] if inner else place
    try:
        return {volume_id(path): path for path in find_volumes(folder)}
    except UserError as error:
        if any(folder.iterdir()):
            raise
        raise UserError(folder, "is empty", HINT) from error


def _dataset_root(place: Path) -> Path | None:
    """The data set that `place` is, or whose folder of masks it is, or one of them."""
    if any((place / masks).is_dir() for _, masks in LAYOUTS):
        return place
    folder = place.resolve() if place.is_dir() else place.resolve().parent
    for _, masks in LAYOUTS:
        depth = len(Path(masks).parts)
        if folder.parts[-depth:] == Path(masks).parts:
            return folder.parents[depth - 1]
    return None


def _image_folder(root: Path | None) -> Path | None:
    if root is None:
        return None
    return next((root / images for images, _ in LAYOUTS if (root / images).is_dir()), None)


def _scans(folder: Path | None) -> dict[str, Path]:
    """Scans by case id; of several channels the first."""
    if folder is None:
        return {}
    files = {volume_id(path): path for path in find_volumes(folder)}
    first = {name[:-5]: path for name, path in files.items() if name.endswith("_0000")}
    return {**first, **files}


def _case_id(mask: str, scans: Mapping[str, Path]) -> str:
    """The id of a mask's case: its name, or that of the scan that it names but for "mask" (MRSpineSeg)."""
    if mask in scans:
        return mask
    return {name.lower(): name for name in scans}.get(MASK_WORD.sub("", mask).lower(), mask)
