"""The foramen where masks name bodies or laminae and the canal, but no foramen, as SPINEPS's sub-regions do."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from autospine.labels.anatomy import Kind
from autospine.labels.conversion import check_labels, present_labels
from autospine.labels.schemes import LabelScheme
from trainers.wgan_resunet.labels import ARCH, BODY, FORAMEN, IGNORE_LABEL, LAMINA, canal_of, labels_of

NAMED = (Kind.BODY, *ARCH)


def lacks_foramen(scheme: LabelScheme, shown: Collection[int]) -> bool:
    """Return whether labels name bodies or laminae themselves, and a canal in place of the foramen."""

    def show(*kinds: Kind) -> bool:
        return bool(set(labels_of(scheme, *kinds)) & set(shown))

    return show(*NAMED) and show(Kind.CANAL) and not show(Kind.FORAMEN)


def derive_foramen(mask: np.ndarray, scheme: LabelScheme, where: str | Path = "mask") -> np.ndarray:
    """Keep bodies and laminae, and take the canal for foramen in the rows that show either.

    Args:
        mask: `(slices, rows, columns)` canonical integers of `scheme`.
        scheme: With bodies or laminae and a canal; its other structures become background.
        where: The file that an error names.

    Returns:
        uint8 of the same shape, in `AXIAL4`. Without a canal all rows that show bone are unlabelled.

    Raises:
        UserError: The mask holds a label that the scheme lacks.
    """
    check_labels(present_labels(mask, where), scheme, where)
    derived = np.zeros(mask.shape, np.uint8)
    derived[np.isin(mask, labels_of(scheme, Kind.BODY))] = BODY
    derived[np.isin(mask, labels_of(scheme, *ARCH))] = LAMINA
    rows = np.asarray((derived > 0).any(axis=(0, 2)))
    canal = canal_of(mask, scheme)
    derived[canal & rows[:, None]] = FORAMEN
    if not canal.any():
        derived[:, rows] = IGNORE_LABEL
    if scheme.ignore_label is not None:
        derived[mask == scheme.ignore_label] = IGNORE_LABEL
    return derived
