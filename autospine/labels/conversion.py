"""Masks and label schemes: find a scheme, check masks against it, convert them.

Every conversion goes through anatomy, never integer to integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import BACKGROUND, SCHEME_FORM, SCHEMES, LabelScheme, free_value

PLAIN = "plain"  # the scheme of integers about which nothing is known
LOOKUP_LIMIT = 1 << 16  # up to here a table by value, above it a search
WHOLES = {  # what a kind is part of, the narrowest first
    Kind.PARTIAL_VERTEBRA: (Kind.VERTEBRA,),
    Kind.BODY: (Kind.VERTEBRA,),
    Kind.POSTERIOR_ELEMENTS: (Kind.VERTEBRA,),
    Kind.LAMINA: (Kind.POSTERIOR_ELEMENTS, Kind.VERTEBRA),
}


@dataclass(frozen=True)
class Conversion:
    """How masks of one scheme become masks of another.

    Attributes:
        source: The scheme of the masks given.
        target: The scheme of the masks made, with an ignore label where the source has one.
        table: New integer of every integer of the source, background and ignore label included.
        lost: Anatomies of the source that the target lacks; their voxels become background.
    """

    source: LabelScheme
    target: LabelScheme
    table: Mapping[int, int]
    lost: tuple[Anatomy, ...]

    def apply(self, mask: np.ndarray, where: str | Path = "mask") -> np.ndarray:
        """Convert a mask.

        Args:
            mask: Integers of the source scheme, any shape.
            where: The file that an error names.

        Returns:
            Integers of the target scheme, same shape, in the smallest unsigned type for it (int64 with negative ones).

        Raises:
            UserError: The mask holds fractions or a label that the source scheme lacks.
        """
        present = present_labels(mask, where)
        check_labels(present, self.source, where)
        values = [*self.table.values(), *self.target.anatomies, self.target.ignore_label or 0]
        dtype = np.dtype(np.int64) if min(values) < 0 else np.min_scalar_type(max(values))
        if not present:
            return np.zeros(mask.shape, dtype)
        return replace_labels(mask, present, np.array([self.table[label] for label in present]).astype(dtype))


def replace_labels(mask: np.ndarray, present: tuple[int, ...], values: np.ndarray) -> np.ndarray:
    """Replace the labels `present` in a mask, ascending and at least one, by the `(labels,)` values."""
    if present[0] >= 0 and present[-1] < LOOKUP_LIMIT:
        lookup = np.zeros(present[-1] + 1, values.dtype)
        lookup[list(present)] = values
        return lookup[mask.astype(np.uint8) if mask.dtype == bool else mask]
    return values[np.searchsorted(np.array(present), mask)]


def present_labels(mask: np.ndarray, where: str | Path = "mask") -> tuple[int, ...]:
    """Return every integer that a mask holds, ascending, background included.

    Raises:
        UserError: The mask is of floats.
    """
    return tuple(label_voxels(mask, where))


def label_voxels(mask: np.ndarray, where: str | Path = "mask") -> dict[int, int]:
    """Count the voxels of every integer that a mask holds, ascending, background included.

    Raises:
        UserError: The mask is of floats.
    """
    if mask.dtype.kind not in "biu":
        raise UserError(where, f"holds {mask.dtype} values", "store labels as integers")
    if mask.size == 0:
        return {}
    if int(mask.min()) >= 0 and int(mask.max()) < LOOKUP_LIMIT:
        counts = np.bincount(mask.ravel())
        return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}
    labels, voxels = np.unique(mask, return_counts=True)
    return dict(zip(labels.tolist(), voxels.tolist(), strict=True))


def scheme_of_mask(scheme: LabelScheme, mask: np.ndarray, where: str | Path = "mask") -> LabelScheme:
    """Return a scheme with the extra vertebrae that one mask shows (see `LabelScheme.shown_by`).

    Raises:
        UserError: The mask is of floats.
    """
    return scheme.shown_by(present_labels(mask, where)) if scheme.extra else scheme


def check_labels(present: Iterable[int], scheme: LabelScheme, where: str | Path) -> None:
    """Make sure that a scheme knows every integer.

    Raises:
        UserError: It does not; the message names the first such value.
    """
    for value in sorted(present):
        if value not in (BACKGROUND, scheme.ignore_label) and value not in scheme.anatomies:
            problem = f"holds the label {value}, which the scheme {scheme.name} lacks"
            raise UserError(where, problem, "correct the mask or name its own scheme")


def generalisations(anatomy: Anatomy) -> tuple[Anatomy, ...]:
    """Return the anatomies that may stand for one, from itself to the most general.

    A part becomes the whole: a body, posterior elements or a lamina the vertebra of its level, a lamina the posterior
    elements. A level is dropped if the target has none of any of these: vertebra 3 becomes "vertebra". A partly
    visible vertebra becomes "vertebra" in schemes without levels, but never a whole vertebra of its level.
    A level never appears from nothing, and a plain structure is only itself.
    """
    if anatomy.kind is Kind.STRUCTURE:
        return (anatomy,)
    kinds = (anatomy.kind, *WHOLES.get(anatomy.kind, ()))
    levelled = [anatomy] if anatomy.kind is Kind.PARTIAL_VERTEBRA else [Anatomy(kind, anatomy.level) for kind in kinds]
    return tuple(dict.fromkeys((*levelled, *(Anatomy(kind) for kind in kinds))))


def conversion(source: LabelScheme, target: LabelScheme) -> Conversion:
    """Find the integer in `target` of every anatomy of `source` (see `generalisations`).

    Voxels without annotation stay so: with the target's ignore label, else with the source's if it is free in the
    target, else with 255 or the next free value above.
    """
    if source.ignore_label is not None and target.ignore_label is None:
        target = replace(target, ignore_label=_free_value(source.ignore_label, target))
    table, lost = {BACKGROUND: BACKGROUND}, []
    for value, anatomy in source.anatomies.items():
        wider = (target.value_of(general) for general in generalisations(anatomy))
        new = next((number for number in wider if number is not None), None)
        table[value] = BACKGROUND if new is None else new
        if new is None and anatomy not in lost:
            lost.append(anatomy)
    if source.ignore_label is not None and target.ignore_label is not None:
        table[source.ignore_label] = target.ignore_label
    return Conversion(source, target, table, tuple(sorted(lost)))


def _free_value(wanted: int, scheme: LabelScheme) -> int:
    return free_value(scheme.anatomies) if wanted in scheme.anatomies else wanted


def bodies_alone(scheme: LabelScheme, labels: Iterable[int], target: LabelScheme) -> bool:
    """Return whether some labels' bodies become whole vertebrae of a target, and no other part of a vertebra does."""
    change = conversion(scheme, target)
    becomes = {scheme.anatomies[value].kind: target.anatomies.get(change.table[value]) for value in labels}
    kinds = {kind for kind, anatomy in becomes.items() if anatomy is not None and anatomy.kind is Kind.VERTEBRA}
    return kinds == {Kind.BODY}


def missing_classes(
    scheme: LabelScheme, target: LabelScheme, shown: Iterable[int] | None = None
) -> tuple[Anatomy, ...]:
    """Return what a target scheme asks for and a data set cannot give.

    Args:
        scheme: Of the data set's masks.
        target: What is to be learnt.
        shown: The labels that the data set shows; None for all that the scheme has.

    Returns:
        Anatomies of the target that none of the labels becomes, in the target's order.
    """
    labels = scheme.anatomies if shown is None else shown
    given = {scheme.anatomies[label] for label in labels if label in scheme.anatomies}
    filled = {target.value_of(wider) for anatomy in given for wider in generalisations(anatomy)}
    return tuple(anatomy for value, anatomy in target.anatomies.items() if target.value_of(anatomy) not in filled)


def get_scheme(name_or_path: str) -> LabelScheme:
    """Read a built-in scheme by name, or a scheme file, or the one that a dataset.json declares.

    Raises:
        UserError: Neither a known name nor a readable scheme file.
    """
    if name_or_path in SCHEMES:
        return SCHEMES[name_or_path]
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "dataset.json"
    if not path.is_file():
        known = ", ".join(sorted(SCHEMES))
        raise UserError(name_or_path, "is neither a label scheme nor a file", f"choose from {known}")
    data = read_json(path, SCHEME_FORM)
    if path.name == "dataset.json" and isinstance(data, Mapping):
        data = {key: data[key] for key in ("name", "labels", "ignore_label") if key in data}
    return LabelScheme.from_dict(data, path)


def scheme_entries(scheme: LabelScheme) -> dict[str, Any]:
    """Return what a report says of its mask's scheme: the name, and the labels of one that is not built in."""
    built_in = SCHEMES.get(scheme.name)
    known = built_in is not None and dict(built_in.anatomies) == dict(scheme.anatomies)
    return {"scheme": scheme.name} if known else {"scheme": scheme.name, "scheme_labels": scheme.to_dict()["labels"]}


def scheme_of_report(report: Mapping[str, Any], where: str | Path) -> LabelScheme | None:
    """Return the scheme by its entries in a report, or None where they name none that is known.

    Raises:
        UserError: The report lists labels that are none.
    """
    name = str(report.get("scheme", ""))
    if "scheme_labels" in report:
        return LabelScheme.from_dict({"name": name, "labels": report["scheme_labels"]}, where)
    return SCHEMES.get(name)


def infer_scheme(values: Iterable[int]) -> LabelScheme:
    """Guess the scheme of masks about which nothing is said.

    Args:
        values: Every integer in them; 0 is ignored.

    Returns:
        `spider` if all values fit it, else "plain": structure N for every integer N.
    """
    labels = sorted({int(value) for value in values} - {BACKGROUND})
    if all(value in SCHEMES["spider"].anatomies for value in labels):
        return SCHEMES["spider"]
    return LabelScheme(PLAIN, {value: Anatomy(Kind.STRUCTURE, value) for value in labels})
