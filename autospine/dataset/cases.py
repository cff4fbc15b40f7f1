"""A data set: a folder of scans and masks, listed as cases.

Layouts: `images/` and `masks/` (SPIDER's, native), `imagesTr/` and `labelsTr/` (nnU-Net's, channels as `<id>_0000`),
`train/MR` and `train/Mask` (MRSpineSeg's, with its labels; its test folders have no masks and are not read).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.metadata import (
    TRAINING,
    Declaration,
    label_table_scheme,
    read_declaration,
    read_overview,
    read_patients,
)
from autospine.labels.anatomy import Kind
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.volumes import find_volumes, volume_id

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
LAYOUTS = (("images", "masks"), ("imagesTr", "labelsTr"), ("train/MR", "train/Mask"), ("MR", "Mask"))
NNUNET, MRSPINESEG = LAYOUTS[1], LAYOUTS[2:]
SERIES = re.compile(r"^(?P<patient>.+?)_(?P<sequence>t2_space|t1|t2)w?(?=_|$)", re.IGNORECASE)
SEQUENCES = {"t1": "t1", "t2": "t2", "t2_space": "t2_SPACE"}
CHANNEL = re.compile(r"^(?P<id>.+)_(?P<channel>\d{4})$")
MASK_WORD = re.compile(r"^(mask|seg|label)s?[_-]?|[_-]?(mask|seg|label)s?$", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One series."""

    id: str  # file name without its suffix (and channel number)
    images: tuple[Path, ...]  # one file per channel
    mask: Path | None  # its annotation, or None
    patient: str  # whose scan it is; cases of one patient are in one subset of a split
    sequence: str = UNKNOWN  # "t1", "t2", "t2_SPACE" or "unknown"
    subset: str = TRAINING  # "training" or "validation" (never trained on)
    vendor: str | None = None  # maker of the scanner, if overview.csv says
    source: str = ""  # name of its data set, where several are joined


@dataclass(frozen=True)
class Dataset:
    """Every case of a folder, or of several that are joined."""

    root: Path
    cases: tuple[Case, ...]  # in natural order of their ids, those without a mask included
    channels: tuple[str, ...]  # names of the channels that each case has
    scheme: LabelScheme | None  # the label scheme of dataset.json, else that of the layout, or None
    table: Mapping[str, Mapping[str, str]]  # rows of overview.csv by case id, also of ids without files
    annotates: tuple[Kind, ...] | None = None  # as dataset.json says; None: the kinds that its masks show
    empty_masks: bool = False  # whether a mask without any label is meant
    name: str = ""  # among several that are joined
    sources: tuple[Dataset, ...] = ()  # those that are joined; empty for one alone

    @property
    def annotated(self) -> tuple[Case, ...]:
        """Return the cases that have a mask."""
        return tuple(case for case in self.cases if case.mask is not None)


def load_dataset(root: str | Path) -> Dataset:
    """List a data set without reading any pixels.

    Images without a mask stay in the list (`mask` None) and are named in a warning.

    Raises:
        UserError: No known layout, no images, no mask at all, masks without an image, an id twice, a
            channel missing, or a table at fault.
    """
    root = Path(root)
    image_folder, mask_folder = _folders(root)
    declaration = read_declaration(root / "dataset.json")
    table = read_overview(root / "overview.csv")
    patients = read_patients(root / "patients.csv")
    numbered = image_folder == root / NNUNET[0] or len(declaration.channels) > 1
    images = _channel_files(image_folder, declaration, numbered)
    masks = _mask_files(mask_folder, images)
    cases = tuple(_case(id_, images[id_], masks.get(id_), table.get(id_, {}), patients.get(id_)) for id_ in images)
    _report_missing(root, mask_folder, cases)
    _report_unlisted(root, cases, table)
    scheme = declaration.scheme or _scheme_of(root, image_folder) or label_table_scheme(next(iter(masks.values())))
    declared = declaration.annotates, declaration.empty_masks
    return Dataset(root, cases, declaration.channels, scheme, table, *declared)


def annotation_files(scans: Path) -> list[Path]:
    """Return the masks, and what else lies there, of the data set that `scans` is, or whose scans it is."""
    folder = scans.resolve() if scans.is_dir() else scans.resolve().parent
    folders = []
    for images, masks in LAYOUTS:
        roots = [root for root in (folder, *folder.parents[:2]) if root == folder or root / images == folder]
        folders += [root / masks for root in roots if (root / images).is_dir() and (root / masks).is_dir()]
    return [path for masks in folders for path in masks.iterdir()]


def patient_and_sequence(id_: str) -> tuple[str, str]:
    """Return the patient and sequence that an id names.

    Example:
        >>> patient_and_sequence("12_t2_SPACE"), patient_and_sequence("case_007")
        (('12', 't2_SPACE'), ('case_007', 'unknown'))
    """
    match = SERIES.match(id_)
    return (match["patient"], SEQUENCES[match["sequence"].lower()]) if match else (id_, UNKNOWN)


def names_patient(id_: str) -> bool:
    """Return whether an id names its patient as SPIDER's do."""
    return SERIES.match(id_) is not None


def _folders(root: Path) -> tuple[Path, Path]:
    if not root.is_dir():
        raise UserError(root, "is not a folder", "give the folder that holds images/ and masks/")
    for images, masks in LAYOUTS:
        if (root / images).is_dir():
            return root / images, root / masks
    places = ", ".join(f"{images}/ and {masks}/" for images, masks in LAYOUTS[:3])
    raise UserError(root, "holds no known layout", f"put the scans into one of: {places}")


def _scheme_of(root: Path, images: Path) -> LabelScheme | None:
    """Return the layout's label scheme: MRSpineSeg's labels would pass for SPIDER's, which mean something else."""
    return SCHEMES["mrspineseg"] if images in (root / folder for folder, _ in MRSPINESEG) else None


def _files_by_id(folder: Path) -> dict[str, Path]:
    return {volume_id(path): path for path in find_volumes(folder)}


def _channel_files(folder: Path, declaration: Declaration, numbered: bool) -> dict[str, tuple[Path, ...]]:
    """Return image files by case id, one per channel in order."""
    files = _files_by_id(folder)
    if not numbered:
        return {id_: (path,) for id_, path in files.items()}
    channels: dict[str, dict[int, Path]] = {}
    for name, path in files.items():
        match = CHANNEL.match(name)
        if match is None:
            raise UserError(path, "has no channel number", f"rename it to {name}_0000")
        channels.setdefault(match["id"], {})[int(match["channel"])] = path
    wanted = list(range(len(declaration.channels)))
    for id_, paths in channels.items():
        if sorted(paths) != wanted:
            has, needs = ", ".join(map(str, sorted(paths))), ", ".join(map(str, wanted))
            hint = f"complete it, or name the channels in dataset.json (channels {needs} are expected)"
            raise UserError(folder / id_, f"has channels {has}", hint)
    return {id_: tuple(paths[number] for number in wanted) for id_, paths in channels.items()}


def _mask_files(folder: Path, images: Mapping[str, object]) -> dict[str, Path]:
    """Return masks by case id: the same name, or the same but for "mask" and capitals (MRSpineSeg)."""
    if not folder.is_dir():
        return {}
    by_lower = {id_.lower(): id_ for id_ in images}
    masks: dict[str, Path] = {}
    without_image = []
    for name, path in _files_by_id(folder).items():
        id_ = name if name in images else by_lower.get(MASK_WORD.sub("", name).lower())
        if id_ is None:
            without_image.append(path)
        elif id_ in masks:
            raise UserError(path, f"is a second mask of {id_}", f"keep it or {masks[id_].name}")
        else:
            masks[id_] = path
    if without_image:
        problem = f"has no image ({listed([path.name for path in without_image])})"
        raise UserError(without_image[0], problem, "add the image or remove the mask")
    return masks


def _case(id_: str, images: tuple[Path, ...], mask: Path | None, row: Mapping[str, str], patient: str | None) -> Case:
    guessed, sequence = patient_and_sequence(id_)
    return Case(
        id=id_,
        images=images,
        mask=mask,
        patient=patient or guessed,
        sequence=sequence,
        subset=row.get("subset", TRAINING),
        vendor=row.get("Manufacturer") or None,
    )


def listed(names: Sequence[str], most: int = 5) -> str:
    """Join names for one line: the first few, and how many more.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def _report_missing(root: Path, mask_folder: Path, cases: Sequence[Case]) -> None:
    missing = [case.id for case in cases if case.mask is None]
    if len(missing) == len(cases):
        hint = f"put masks named like the images into {mask_folder.relative_to(root)}/"
        raise UserError(mask_folder, f"holds no mask for any of the {len(cases)} images", hint)
    if missing:
        message = "%s: %d of %d images have no mask and are not trained on: %s"
        log.warning(message, root, len(missing), len(cases), listed(missing, 20))


def _report_unlisted(root: Path, cases: Sequence[Case], table: Mapping[str, Mapping[str, str]]) -> None:
    if not any("subset" in row for row in table.values()):
        return
    unlisted = [case.id for case in cases if case.id not in table]
    if unlisted:
        message = "%s: %d images are not in overview.csv and count as training cases: %s"
        log.warning(message, root, len(unlisted), listed(unlisted, 20))
