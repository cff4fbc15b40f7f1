"""What a user should know about a data set before training on it, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from autospine.dataset.cases import UNKNOWN, listed, names_patient
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.label_order import OrderedLabels, agreement
from autospine.labels.encoding import PARTIAL_ABOVE
from autospine.labels.outliers import outlying_masks
from autospine.labels.schemes import LabelScheme

FEW_PATIENTS = 5
SPACING_RATIO = 1.5  # 90th over 10th percentile of an axis's spacing
WIDE_GAP_MM = 6.0
RARE = 0.05  # share of patients who show a label
MIX = 0.05  # a trait that at least this share of cases has and this share lacks is mixed

Cases = Sequence[CaseFingerprint]


def dataset_warnings(cases: Cases, ordered_labels: Sequence[OrderedLabels], scheme: LabelScheme) -> tuple[str, ...]:
    """List every warning about the training cases, one sentence each, the gravest first."""
    groups: tuple[Iterable[str], ...] = (
        _unlike(cases),
        _duplicates(cases),
        _empty(cases),
        _blank(cases),
        _patients(cases),
        _out_of_order(cases, ordered_labels),
        _rare(cases, scheme),
        _stops_early(ordered_labels),
        _intensities(cases),
        _grids(cases),
        _sequences(cases),
    )
    return tuple(line for group in groups for line in group)


def nothing_annotated(ids: Sequence[str]) -> str:
    """Say that cases were left out because their masks hold no label."""
    masks = f"{len(ids)} masks hold no label" if len(ids) > 1 else "1 mask holds no label"
    return (
        f"{masks}, so nothing counts as annotated there and it is left out ({listed(ids)}): where that is meant, write "
        '"empty_masks": true into dataset.json'
    )


def _groups(pairs: Iterable[tuple[str | None, str]]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        if key is not None:
            groups.setdefault(key, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _unlike(cases: Cases) -> Iterable[str]:
    labels = {case.id: case.voxels for case in cases if case.mask_checksum is not None}
    for id_ in outlying_masks(labels):
        own = listed([str(label) for label in sorted(labels[id_]) if label])
        yield f"{id_} shares no label with any other case ({own}): are its integers of another scheme?"


def _duplicates(cases: Cases) -> Iterable[str]:
    for ids in _groups((case.image_checksum, case.id) for case in cases):
        yield f"the same image under {len(ids)} ids: {listed(ids)}"
    patient = {case.id: case.patient for case in cases}
    for ids in _groups((case.mask_checksum if case.centroids else None, case.id) for case in cases):
        if len({patient[id_] for id_ in ids}) > 1:
            yield (
                f"{listed(ids)} carry the same mask but count as different patients: if they are one,"
                " say so in patients.csv, or folds will leak"
            )


def _empty(cases: Cases) -> Iterable[str]:
    empty = [case.id for case in cases if case.mask_checksum is not None and not case.centroids]
    if empty:
        yield f"{len(empty)} masks are empty: {listed(empty)}"
    flat = [case.id for case in cases if min(case.shape) == 1]
    if flat:
        yield f"{len(flat)} scans have a single slice, so that only 2-D plans fit them: {listed(flat)}"


def _blank(cases: Cases) -> Iterable[str]:
    blank = [f"{case.id} ({', '.join(map(str, case.blank_labels))})" for case in cases if case.blank_labels]
    if blank:
        yield (
            f"labels lie where the image is constant, as in a cropped or blanked scan, and are taught all the same: "
            f"{listed(blank)}"
        )


def _patients(cases: Cases) -> Iterable[str]:
    unnamed = [case.id for case in cases if case.patient == case.id and not names_patient(case.id)]
    if unnamed:
        yield (
            f"{len(unnamed)} ids name no patient, so each counts as one of its own ({listed(unnamed)}):"
            " if patients have several series, write patients.csv"
        )
    count = len({case.patient for case in cases})
    if count < FEW_PATIENTS:
        yield f"only {count} patient{'s' if count > 1 else ''}: scores will be uncertain"


def _out_of_order(cases: Cases, ordered_labels: Sequence[OrderedLabels]) -> Iterable[str]:
    for sequence in ordered_labels:
        ranks = {value: rank for rank, value in enumerate(sequence.values)}
        wrong = [case.id for case in cases if agreement([case], ranks) < 1]
        if wrong:
            yield f"the order of {sequence.kind.value} labels is broken in {len(wrong)} cases: {listed(wrong)}"


def _rare(cases: Cases, scheme: LabelScheme) -> Iterable[str]:
    patients = {case.patient for case in cases if case.mask_checksum is not None}
    shown: dict[int, set[str]] = {}
    for case in cases:
        for label in case.centroids:
            shown.setdefault(label, set()).add(case.patient)
    least = max(2, RARE * len(patients))
    rare = [
        f"{label} ({scheme.anatomies[label].name}: {len(names)})"
        for label, names in sorted(shown.items())
        if len(names) < min(least, len(patients)) and label in scheme.anatomies
    ]
    if rare:
        yield f"labels that few of the {len(patients)} patients show: {listed(rare, 10)}"


def _stops_early(ordered_labels: Sequence[OrderedLabels]) -> Iterable[str]:
    for sequence in ordered_labels:
        if sequence.room_above_mm > PARTIAL_ABOVE * sequence.intervertebral_distance_mm > 0:
            yield (
                f"the highest {sequence.kind.value} label lies {sequence.room_above_mm:.0f} mm under the image's"
                f" top (neighbours: {sequence.intervertebral_distance_mm:.0f} mm apart), "
                "so levels above it seem not annotated"
            )


def _mixed(flags: Sequence[bool]) -> bool:
    return bool(flags) and MIX <= sum(flags) / len(flags) <= 1 - MIX


def _intensities(cases: Cases) -> Iterable[str]:
    clipped = [case.clipped_share > 0 for case in cases]
    if _mixed(clipped):
        yield f"intensities are clipped in {sum(clipped)} of {len(cases)} scans and not in the others"
    elif all(clipped) and clipped:
        yield "intensities are clipped in all scans: the model will not know unclipped ones"


def _grids(cases: Cases) -> Iterable[str]:
    spacing = np.array([case.spacing for case in cases])  # (cases, 3)
    low, high = np.percentile(spacing, (10, 90), axis=0)
    for axis, name in enumerate(("slices", "rows", "columns")):
        if high[axis] > SPACING_RATIO * low[axis]:
            column = spacing[:, axis]
            yield f"the spacing of {name} varies from {column.min():.2f} to {column.max():.2f} mm"
    wide = [case.id for case in cases if max(case.spacing) > WIDE_GAP_MM]
    if wide:
        yield f"slices lie more than {WIDE_GAP_MM:g} mm apart in {len(wide)} scans: {listed(wide)}"
    across = [case.id for case in cases if case.slice_axis != 0 and case.anisotropy > SPACING_RATIO]
    if across:
        yield f"{len(across)} series are not sagittal: {listed(across)}"


def _sequences(cases: Cases) -> Iterable[str]:
    counts = Counter(case.sequence for case in cases)
    if len(counts) > 1:
        counted = [f"{count} {name}" for name, count in sorted(counts.items())]
        hint = ", some unknown" if UNKNOWN in counts else ""
        yield f"sequences are mixed ({', '.join(counted)}{hint}): scores are also given for each"
