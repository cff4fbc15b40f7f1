"""Which prediction belongs to which reference, and what else is known of a case: image, patient, table row."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.cases import CHANNEL, LAYOUTS, MASK_WORD, listed, patient_and_sequence
from autospine.dataset.class_files import class_files, class_folders
from autospine.dataset.metadata import read_overview, read_patients
from autospine.volumes.folders import find_volumes, holds_dicom, volume_id

log = logging.getLogger(__name__)

HINT = "give a mask or a folder of masks"
TOTALSPINESEG = "step2_output"  # its folder of final masks
TOTALSEGMENTATOR = "segmentations"  # the mask in a folder per case
VERTEBRAE = "_seg-vert"  # SPINEPS's vertebra mask; the other one is of sub-regions
SPINEPS = re.compile(r"^(?P<id>.+?)(?:_mod-(?P<modality>[^_]+))?_seg-(?:vert|spine|subreg)_msk$")
BIDS = "sub-"


@dataclass(frozen=True)
class References:
    """The masks that predictions are compared with."""

    path: Path  # the file or folder given
    masks: Mapping[str, Path]  # files by case id, in natural order
    patients: Mapping[str, str]  # whose scan each case is
    images: Mapping[str, Path] = field(default_factory=dict)  # scans by case id, where there are any
    # Rows of overview.csv by case id; empty without one.
    table: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    table_path: Path = Path("overview.csv")  # where that file is, or would be


def find_references(path: str | Path, images: str | Path | None = None) -> References:
    """List references without reading any voxels.

    Args:
        path: A mask, a folder of masks, or a data set (see `autospine.dataset`).
        images: Folder of the scans; None: those of the data set, if `path` is one or its folder of masks.

    Raises:
        UserError: There are no masks, or a table is at fault.
    """
    path = Path(path)
    root = _dataset_root(path)
    scans = _scans(Path(images) if images is not None else _image_folder(root))
    masks = {_case_id(name, scans): path for name, path in _masks(path).items()}
    folder = root or (path if path.is_dir() else path.parent)
    named = read_patients(folder / "patients.csv")
    return References(
        path=path,
        masks=masks,
        patients={id_: named.get(id_) or patient_and_sequence(id_)[0] for id_ in masks},
        images={id_: scans[id_] for id_ in masks if id_ in scans},
        table=read_overview(folder / "overview.csv"),
        table_path=folder / "overview.csv",
    )


def find_predictions(path: str | Path, references: References) -> dict[str, Path]:
    """List predicted masks by the id of their case; two single files pair whatever their names.

    Raises:
        UserError: There are no masks, a file stands against a folder, or no name fits any reference.
    """
    path = Path(path)
    masks = _masks(path)
    single = (_is_volume(path), _is_volume(references.path))
    if single[0] != single[1]:
        one, other = ("one mask", "a folder") if single[0] else ("a folder", "one mask")
        raise UserError(path, f"is {one}, {references.path} is {other}", "give two masks or two folders")
    if all(single):
        return dict(zip(references.masks, masks.values(), strict=True))
    paired = _paired(masks, list(references.masks))
    if not set(paired) & set(references.masks):
        problem = f"shares no case id with {references.path} ({listed(list(masks), 3)})"
        raise UserError(path, problem, "name each prediction like its reference")
    return paired


def _paired(masks: Mapping[str, Path], references: Sequence[str]) -> dict[str, Path]:
    """Return predictions by the id of the reference that they mean, else by their own name.

    Raises:
        UserError: Two predictions mean one reference, and neither has its name.
    """
    free = {id_.lower(): id_ for id_ in references if id_ not in masks}
    paired: dict[str, Path] = {}
    for name, path in masks.items():
        meant = None if name in references else next((free[n] for n in meant_ids(name) if n in free), None)
        if meant is None:
            paired[name] = path
            continue
        twin = paired.setdefault(meant, path)
        if twin is not path:
            paired[meant] = _of_both(meant, twin, path)
    renamed = [f"{path.name} with {id_}" for id_, path in paired.items() if volume_id(path) != id_]
    if renamed:
        log.info("paired by what the names mean: %s", listed(renamed, 3))
    return paired


def _of_both(id_: str, one: Path, other: Path) -> Path:
    """Return the vertebra mask of SPINEPS's two masks of one scan.

    Raises:
        UserError: They are something else.
    """
    vertebrae = [path for path in (one, other) if VERTEBRAE in path.name]
    if len(vertebrae) != 1:
        raise UserError(other, f"and {one.name} both mean {id_}", "keep one of them, or name it like the reference")
    log.info("%s: SPINEPS's vertebra mask is scored; give the other one by itself", vertebrae[0])
    return vertebrae[0]


def meant_ids(name: str) -> Iterator[str]:
    """Yield the ids of scans, in lower case, that a mask's name may mean, the likeliest first.

    Example:
        >>> list(meant_ids("sub-5_mod-T2w_seg-vert_msk"))
        ['sub-5_t2w', '5_t2w', 'sub-5', '5']
        >>> list(meant_ids("5_t2_0000"))
        ['5_t2']
    """
    spineps = SPINEPS.match(name.lower())
    numbered = CHANNEL.match(name)
    if spineps:
        stems = [f"{spineps['id']}_{spineps['modality']}"] if spineps["modality"] else []
        stems.append(spineps["id"])
    else:
        stems = [MASK_WORD.sub("", numbered["id"] if numbered else name).lower()]
    for stem in stems:
        yield stem
        if stem.startswith(BIDS):
            yield stem.removeprefix(BIDS)


def _is_volume(path: Path) -> bool:
    """Return whether this is a file, or a folder that is one DICOM series or one mask with a file per class."""
    return path.is_file() or holds_dicom(path) or bool(class_files(path))


def _masks(path: Path) -> dict[str, Path]:
    if not path.exists():
        raise UserError(path, "does not exist", HINT)
    if path.is_file() or class_files(path):
        return {volume_id(path): path}
    places = [*(masks for _, masks in LAYOUTS), TOTALSPINESEG]
    inner = [path / masks for masks in places if (path / masks).is_dir()]
    folder = inner[0] if inner else path
    try:
        return {volume_id(path): path for path in find_volumes(folder)}
    except UserError as error:
        nested = _nested(folder)
        if nested:
            return nested
        if any(folder.iterdir()):
            raise
        raise UserError(folder, "is empty", HINT) from error


def _nested(folder: Path) -> dict[str, Path]:
    """Return masks in folders by case or subject, as SPINEPS and TotalSegmentator write them, one of these two ways."""
    masks = sorted(folder.rglob(f"*{VERTEBRAE}_msk.nii.gz"))
    if masks:
        return {volume_id(path): path for path in masks}
    whole = {path.parent.name: path for path in sorted(folder.glob(f"*/{TOTALSEGMENTATOR}.nii*"))}
    return whole or class_folders(folder)


def _dataset_root(path: Path) -> Path | None:
    """Return the data set that `path` is, or whose folder of masks it is, or a mask of."""
    if any((path / masks).is_dir() for _, masks in LAYOUTS):
        return path
    folder = path.resolve() if path.is_dir() else path.resolve().parent
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
    """Return scans by case id; of several channels the first."""
    if folder is None:
        return {}
    files = {volume_id(path): path for path in find_volumes(folder)}
    first = {name[:-5]: path for name, path in files.items() if name.endswith("_0000")}
    return {**first, **files}


def _case_id(mask: str, scans: Mapping[str, Path]) -> str:
    """Return the id of a mask's case: its name, or that of the scan that it names but for "mask" (MRSpineSeg)."""
    if mask in scans:
        return mask
    return {name.lower(): name for name in scans}.get(MASK_WORD.sub("", mask).lower(), mask)
