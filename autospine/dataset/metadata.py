"""The small files beside a data set's images: overview.csv, patients.csv and dataset.json."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.core.errors import UserError
from autospine.core.files import opened, read_json
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import infer_scheme
from autospine.labels.label_table import scheme_of_table
from autospine.labels.schemes import LabelScheme
from autospine.volumes import volume_id
from autospine.volumes.folders import volume_suffix
from autospine.volumes.nifti import label_table

ID_COLUMNS = ("new_file_name", "id", "name", "file_name")
TRAINING, VALIDATION = "training", "validation"
SUBSETS = {
    "": TRAINING,
    "train": TRAINING,
    "training": TRAINING,
    "val": VALIDATION,
    "validation": VALIDATION,
    "test": VALIDATION,
    "testing": VALIDATION,
}
OWN_KEYS = ("channels", "labels", "ignore_label", "annotates", "empty_masks")
# What nnU-Net and the Medical Segmentation Decathlon write; only the first has a use here.
FOREIGN_KEYS = (
    *("channel_names", "labels", "numTraining", "file_ending", "modality", "numTest", "training", "test"),
    *("name", "description", "reference", "licence", "license", "release", "relase", "citation"),
    *("dataset_name", "tensorImageSize", "converted_by", "image_orientation"),
    *("overwrite_image_reader_writer", "regions_class_order"),
)


@dataclass(frozen=True)
class Declaration:
    """What dataset.json says."""

    channels: tuple[str, ...] = ("MRI",)  # names of the channels, in order
    scheme: LabelScheme | None = None  # the label scheme, if it gives one
    annotates: tuple[Kind, ...] | None = None  # kinds that the masks label wherever they are; None: those they show
    empty_masks: bool = False  # whether a mask without any label is meant, rather than a scan not annotated


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file, without blanks around names and values.

    Args:
        path: A UTF-8 file with a header line, separated by commas, semicolons or tabs.

    Raises:
        UserError: The file is unreadable, not UTF-8 text or no table.
    """
    with opened(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(path, "is not UTF-8 text", "save it as CSV in UTF-8") from error
    header, _, _ = text.partition("\n")
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.DictReader(text.splitlines(), delimiter=separator, restval=""))
    except csv.Error as error:
        raise UserError(path, f"is no table ({error})", "save it as CSV in UTF-8") from error
    return [{key.strip(): (value or "").strip() for key, value in row.items() if isinstance(key, str)} for row in rows]


def read_overview(path: Path) -> dict[str, dict[str, str]]:
    """Read the rows of overview.csv by case id, with `subset` brought to "training" or "validation".

    No column has to be there except one for the id; a missing file gives no rows.

    Raises:
        UserError: No id column, an id twice, or a subset of another name.
    """
    if not path.exists():
        return {}
    rows = read_table(path)
    column = next((name for name in ID_COLUMNS if rows and name in rows[0]), None)
    if rows and column is None:
        raise UserError(path, "has no column of case ids", f"name that column {ID_COLUMNS[0]}")
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        case = volume_id(row[str(column)])
        if case in table:
            raise UserError(path, f"lists {case} twice", "keep one of the rows")
        if case and "subset" in row:
            if row["subset"].lower() not in SUBSETS:
                raise UserError(path, f"gives {case} the subset {row['subset']!r}", "write training or validation")
            row["subset"] = SUBSETS[row["subset"].lower()]
        if case:
            table[case] = row
    return table


def read_patients(path: Path) -> dict[str, str]:
    """Read the patient of each case id from patients.csv (columns id, patient); a missing file gives none.

    Raises:
        UserError: A column is missing, a patient is blank, or an id is listed twice.
    """
    if not path.exists():
        return {}
    patients: dict[str, str] = {}
    for row in read_table(path):
        if "id" not in row or "patient" not in row:
            raise UserError(path, "lacks the column id or patient", "start it with the line id,patient")
        case = volume_id(row["id"])
        if case in patients:
            raise UserError(path, f"lists {case} twice", "keep one of the rows")
        if not row["patient"]:
            raise UserError(path, f"names no patient for {case}", "fill it in or delete the row")
        patients[case] = row["patient"]
    return patients


def label_table_scheme(mask: Path) -> LabelScheme | None:
    """Return the scheme that a mask's own label table tells, or None (see `labels.label_table`)."""
    if volume_suffix(mask) not in (".nii", ".nii.gz") or not mask.is_file():
        return None
    return scheme_of_table(label_table(mask))


def read_declaration(path: Path) -> Declaration:
    """Read dataset.json; a missing file declares one channel and no scheme.

    AutoSpine's form: `{"channels": ["T1", "T2"] or {"0": "T1", ...}, "labels": {"1": "vertebra:1", ...},
    "ignore_label": 255, "annotates": ["vertebra", "disc"], "empty_masks": true}`, every key optional. nnU-Net's file
    is understood too: its `channel_names`, and its `labels` (name to integer, "ignore" for the ignore label) where the
    names are anatomies.

    Raises:
        UserError: An unknown key, or a value of the wrong form.
    """
    if not path.exists():
        return Declaration()
    data = read_json(path, "correct it or delete it")
    if not isinstance(data, Mapping):
        raise UserError(path, "is not a JSON object", "write it as docs/data.md shows")
    unknown = sorted(set(data) - {*OWN_KEYS, *FOREIGN_KEYS})
    if unknown:
        raise UserError(path, f"has the unknown key {unknown[0]!r}", f"known are {', '.join(OWN_KEYS)}")
    channels = data.get("channels", data.get("channel_names", data.get("modality")))
    names = _channels(path, channels) if channels is not None else Declaration().channels
    try:
        return Declaration(names, _scheme(path, data), _annotates(path, data), _empty_masks(path, data))
    except UserError as error:
        raise UserError(path, error.problem, error.hint) from error


def _annotates(path: Path, data: Mapping[str, Any]) -> tuple[Kind, ...] | None:
    names = data.get("annotates")
    if names is None:
        return None
    known = [kind.value for kind in Kind]
    if not isinstance(names, list) or not names or not set(map(str, names)) <= set(known):
        raise UserError(path, f'"annotates" is {names!r}, no list of kinds', f"choose from {', '.join(known)}")
    return tuple(sorted({Kind(name) for name in names}, key=list(Kind).index))


def _empty_masks(path: Path, data: Mapping[str, Any]) -> bool:
    meant = data.get("empty_masks", False)
    if not isinstance(meant, bool):
        raise UserError(path, f'"empty_masks" is {meant!r}', "write true where a mask without labels is meant")
    return meant


def _channels(path: Path, channels: Any) -> tuple[str, ...]:
    hint = 'write ["T1", "T2"] or {"0": "T1", "1": "T2"}'
    if isinstance(channels, Mapping):
        if sorted(channels) != sorted(str(number) for number in range(len(channels))):
            raise UserError(path, "numbers its channels other than 0, 1, 2, ...", hint)
        channels = [channels[str(number)] for number in range(len(channels))]
    right = isinstance(channels, list) and channels and all(isinstance(name, str) for name in channels)
    if not right or len(set(channels)) < len(channels):
        raise UserError(path, "does not name its channels, each once", hint)
    return tuple(channels)


def _scheme(path: Path, data: Mapping[str, Any]) -> LabelScheme | None:
    labels, ignore_label = data.get("labels"), data.get("ignore_label")
    if labels is None:
        if ignore_label is not None:
            raise UserError(path, 'has "ignore_label" but no labels', "list the labels too")
        return None
    if isinstance(labels, Mapping) and any(isinstance(value, (int, list)) for value in labels.values()):
        return _foreign_scheme(path, labels)
    if isinstance(labels, Mapping):
        labels = {key: value for key, value in labels.items() if (key, value) != ("0", "background")}
    return LabelScheme.from_dict({"name": "dataset", "labels": labels, "ignore_label": ignore_label}, path)


def _foreign_scheme(path: Path, labels: Mapping[str, Any]) -> LabelScheme:
    """Read nnU-Net's map of names to integers: by anatomy if every name is one, else guess from the integers."""
    for name, value in labels.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(path, f"gives {name} the value {value!r}", "give one integer per label, no regions")
    ignore_label = labels.get("ignore")
    named = {value: name for name, value in labels.items() if value != 0 and name != "ignore"}
    try:
        anatomies = {value: Anatomy.parse(name) for value, name in named.items()}
    except UserError:
        guess = infer_scheme(named).anatomies
        anatomies = {value: guess[value] for value in named}
    return LabelScheme.with_ignore_label("dataset", anatomies, ignore_label)
