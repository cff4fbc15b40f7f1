"""Centres of vertebrae where a plan tells bodies from posterior elements: the body's, whatever a mask labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.encoding import Encoding
from autospine.labels.schemes import LabelScheme
from autospine.preprocessing.separation import canal_front, separate_body
from autospine.preprocessing.storage import LabelRecord

Point = tuple[float, float, float]


def with_body_centres(
    records: Sequence[LabelRecord],
    mask: np.ndarray,
    spacing: Sequence[float],
    encoding: Encoding,
    scheme: LabelScheme,
) -> tuple[LabelRecord, ...]:
    """Note for whole vertebrae and posterior elements where the body's centre is, if it can be told.

    Args:
        records: The labels of a mask.
        mask: Canonical labels of the scheme, (slices, rows, columns).
        spacing: mm along each axis.
        encoding: What is learnt of them.
        scheme: Their meaning.
    """
    whole = {label.value for label in encoding.merged if len(label.classes) > 1}
    parts = {value for kind in encoding.classes if kind.part_of for value in kind.values}
    bodies = {
        scheme.anatomies[record.value].level: record.centroid
        for record in records
        if scheme.anatomies[record.value].kind is Kind.BODY
    }
    if not any(record.value in whole | parts for record in records):
        return tuple(records)
    front = _front(records, mask, spacing, scheme)
    divided = [
        replace(record, body=_body_centre(record, mask, front, spacing)) if record.value in whole else record
        for record in records
    ]
    for record in divided:
        if record.body is not None:
            bodies.setdefault(scheme.anatomies[record.value].level, record.body)
    return tuple(
        replace(record, body=_of_level(bodies, scheme.anatomies[record.value])) if record.value in parts else record
        for record in divided
    )


def _of_level(bodies: Mapping[int | None, Point], anatomy: Anatomy) -> Point | None:
    return None if anatomy.level is None else bodies.get(anatomy.level)


def _front(
    records: Sequence[LabelRecord], mask: np.ndarray, spacing: Sequence[float], scheme: LabelScheme
) -> np.ndarray | None:
    canal = [r.value for r in records if scheme.anatomies[r.value].kind in (Kind.CANAL, Kind.CORD)]
    return canal_front(np.isin(mask, canal), spacing) if canal else None


def _body_centre(
    record: LabelRecord, mask: np.ndarray, front: np.ndarray | None, spacing: Sequence[float]
) -> Point | None:
    """Return the voxel index of the centre of a whole vertebra's body; None where it cannot be told from the rest."""
    box = tuple(slice(low, high + 1) for low, high in zip(record.low, record.high, strict=True))
    in_crop = None if front is None else front[box[1]] - box[2].start
    body = separate_body(mask[box] == record.value, in_crop, spacing)
    if body is None:
        return None
    s, r, c = (round(float(mean) + side.start, 3) for mean, side in zip(np.argwhere(body).mean(0), box, strict=True))
    return s, r, c
