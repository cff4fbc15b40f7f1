"""Labels `axial4` (vertebral body, foramen, lamina) from masks of whole vertebrae and the spinal canal.

In each axial row the canal's anterior border separates the vertebrae's bodies (in front) from their laminae and
processes (behind); the canal within a vertebra's axial range is its foramen. One plane for a whole vertebra would not
do, since the spine is curved and lies askew in its rows. Defined where a mask leaves it open:

- The border of a row is the median, over the sagittal slices that show the canal, of its first column: a single false
  voxel hardly moves it.
- Rows without canal between rows with it get the border by linear interpolation; beyond the canal's ends the nearest
  row's border holds.
- A vertebra none of whose rows shows the canal cannot be divided: its rows are unlabelled where no other lies.
- The cord, where a mask shows it apart, lies in the canal and counts as canal.
- The canal's own voxels are never vertebra, so one that touches it is divided like any other.
- Vertebrae without levels (one label for all) count as one: the foramen is the canal in the rows that show any.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import check_labels, present_labels
from autospine.labels.schemes import SCHEMES, LabelScheme

IGNORE_LABEL = 255
AXIAL4 = replace(SCHEMES["axial4"], ignore_label=IGNORE_LABEL)
STRUCTURES = BODY, FORAMEN, LAMINA = tuple(AXIAL4.anatomies)
WHOLE = (Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA)
ARCH = (Kind.LAMINA, Kind.POSTERIOR_ELEMENTS)  # the paper's lamina has all processes
HINT = "annotate it, or use masks in the scheme axial4"


def labels_of(scheme: LabelScheme, *kinds: Kind) -> tuple[int, ...]:
    """Return the integers of a scheme that stand for these kinds, ascending."""
    return tuple(sorted(value for value, anatomy in scheme.anatomies.items() if anatomy.kind in kinds))


def shows_axial(scheme: LabelScheme, shown: Collection[int]) -> bool:
    """Return whether labels name bodies, foramina or laminae themselves, so that no vertebra has to be divided."""
    return bool(set(labels_of(scheme, Kind.BODY, Kind.FORAMEN, *ARCH)) & set(shown))


def check_derivable(
    scheme: LabelScheme, shown: Collection[int], where: str | Path, bone: tuple[Kind, ...] = WHOLE
) -> None:
    """Check that labels show vertebrae and canal.

    Raises:
        UserError: Either is missing.
    """
    needed = {"vertebra": labels_of(scheme, *bone), "spinal canal": labels_of(scheme, Kind.CANAL)}
    missing = [name for name, values in needed.items() if not set(values) & set(shown)]
    if missing:
        problem = f"shows no {' and no '.join(missing)}, from which body, foramen and lamina are derived"
        raise UserError(where, problem, HINT)


def derive_axial4(mask: np.ndarray, scheme: LabelScheme, where: str | Path = "mask") -> np.ndarray:
    """Divide whole vertebrae into bodies and laminae, and take the foramen from the canal.

    Args:
        mask: `(slices, rows, columns)` canonical integers of `scheme`.
        scheme: With vertebrae and a canal; its other structures become background.
        where: The file that an error names.

    Returns:
        uint8 of the same shape, in `AXIAL4`. Without a canal all rows of vertebrae are unlabelled.

    Raises:
        UserError: The mask holds a label that the scheme lacks.
    """
    present = present_labels(mask, where)
    check_labels(present, scheme, where)
    canal = canal_of(mask, scheme)
    reach = np.asarray(canal.any(axis=(0, 2)))  # (rows,)
    columns = np.arange(mask.shape[2])
    front = columns < canal_border(canal)[:, None]  # (rows, columns)
    derived = np.zeros(mask.shape, np.uint8)
    divided, undivided = np.zeros_like(reach), np.zeros_like(reach)  # rows
    for value in set(labels_of(scheme, *WHOLE)) & set(present):
        whole = mask == value
        rows = axial_range(whole, scheme.anatomies[value])
        if not reach[rows].any():
            undivided |= rows
            continue
        divided |= rows
        derived[whole & front] = BODY
        derived[whole & ~front] = LAMINA
    derived[canal & divided[:, None]] = FORAMEN
    derived[(derived == 0) & undivided[:, None]] = IGNORE_LABEL
    if scheme.ignore_label is not None:
        derived[mask == scheme.ignore_label] = IGNORE_LABEL
    return derived


def canal_of(mask: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """Return the canal of a mask, bool, with the cord that lies in it; nothing where the cord alone is shown."""
    canal = np.isin(mask, labels_of(scheme, Kind.CANAL))
    return canal | np.isin(mask, labels_of(scheme, Kind.CORD)) if canal.any() else canal


def canal_border(canal: np.ndarray) -> np.ndarray:
    """Compute the column of the canal's anterior border in each row of a `(slices, rows, columns)` canal.

    Returns:
        `(rows,)` float64; what lies in a column below it is in front. Infinite where there is no canal at all.
    """
    shown = canal.any(axis=2)  # (slices, rows)
    first = np.where(shown, canal.argmax(axis=2), np.nan)  # (slices, rows)
    rows = np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        return np.full(canal.shape[1], np.inf)
    return np.interp(np.arange(canal.shape[1]), rows, np.nanmedian(first[:, rows], axis=0))


def axial_range(whole: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Return a vertebra's rows, `(rows,)` bool, from its first to its last; without levels, those that show any."""
    rows = np.asarray(whole.any(axis=(0, 2)))
    if anatomy.level is not None:
        shown = np.flatnonzero(rows)
        rows[shown[0] : shown[-1] + 1] = True
    return rows
