"""Cases of several data sets in one scheme, and where their annotations contradict one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autospine.core.errors import UserError
from autospine.dataset.cases import Dataset, listed
from autospine.dataset.metadata import TRAINING
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.consistency import contradiction, fitting_schemes
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import conversion
from autospine.labels.joint import PARTS_OF_VERTEBRAE, SourceLabels, joint_scheme
from autospine.labels.schemes import SCHEMES, LabelScheme

UNLEVELLED = LabelScheme("parts without levels", {1: Anatomy(Kind.BODY), 2: Anatomy(Kind.POSTERIOR_ELEMENTS)})
Box = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class MeasuredCases:
    """The cases of one data set."""

    dataset: Dataset
    scheme: LabelScheme  # what its masks' integers mean
    cases: tuple[CaseFingerprint, ...]
    warnings: tuple[str, ...]  # about their files

    @property
    def training(self) -> list[CaseFingerprint]:
        """Return the cases that may be trained on."""
        return [case for case in self.cases if case.subset == TRAINING]

    @property
    def shown(self) -> dict[int, Anatomy]:
        """Return the labels that its training cases show."""
        values = {value for case in self.training for value in case.centroids}
        return {value: anatomy for value, anatomy in self.scheme.anatomies.items() if value in values}

    @property
    def annotates(self) -> tuple[Kind, ...]:
        """Return the kinds that it labels: those that dataset.json names, else those that its masks show."""
        shown = {anatomy.kind for anatomy in self.shown.values()}
        return self.dataset.annotates or tuple(kind for kind in Kind if kind in shown)

    def mask(self, id_: str) -> str:
        """Return the file of a case's mask."""
        return next(str(case.mask) for case in self.dataset.cases if case.id == id_)


def scheme_of_sources(sources: Sequence[SourceLabels]) -> LabelScheme:
    """Return the scheme in which the masks of all sources meet; with parts where whole vertebrae meet their parts."""
    kinds = {kind for source in sources for kind in source.annotates}
    schemes = [source.scheme for source in sources]
    if Kind.VERTEBRA in kinds and kinds & PARTS_OF_VERTEBRAE:
        family = {Kind.VERTEBRA, *PARTS_OF_VERTEBRAE}
        levelled = any(a.level is not None and a.kind in family for s in schemes for a in s.anatomies.values())
        schemes.append(SCHEMES["parts"] if levelled else UNLEVELLED)
    return joint_scheme(schemes)


def in_scheme(source: MeasuredCases, scheme: LabelScheme) -> Iterator[CaseFingerprint]:
    """Yield the cases with the labels of another scheme, which has a place for all."""
    table = conversion(source.scheme, scheme).table
    for case in source.cases:
        labels: dict[int, list[int]] = {}
        for value in case.centroids:
            labels.setdefault(table[value], []).append(value)
        voxels: dict[int, int] = {}
        for value, count in case.voxels.items():
            voxels[table[value]] = voxels.get(table[value], 0) + count
        yield replace(
            case,
            voxels=voxels,
            slices={new: max(case.slices[value] for value in old) for new, old in labels.items()},
            centroids={new: _centroid(case, old) for new, old in labels.items()},
            boxes={new: _box([case.boxes[value] for value in old]) for new, old in labels.items()},
            blank_labels=tuple(dict.fromkeys(table[value] for value in case.blank_labels)),
        )


def _centroid(case: CaseFingerprint, values: Sequence[int]) -> tuple[float, float, float]:
    points, weights = [case.centroids[v] for v in values], [case.voxels[v] for v in values]
    s, r, c = np.average(points, axis=0, weights=weights).tolist()
    return s, r, c


def _box(boxes: Sequence[Box]) -> Box:
    a, b, c = np.min(boxes, axis=0)[:3].tolist()
    d, e, f = np.max(boxes, axis=0)[3:].tolist()
    return a, b, c, d, e, f


def joint_problems(sources: Sequence[MeasuredCases]) -> list[UserError]:
    """Find data sets that annotate nothing usable, and masks that contradict their scheme or those of other sets."""
    problems = []
    for source in sources:
        problem = _own_problem(source, [other for other in sources if other is not source])
        problems += [problem] if problem else []
    return problems or list(_contradicting_twins(sources))


def _own_problem(source: MeasuredCases, others: Sequence[MeasuredCases]) -> UserError | None:
    root, name = source.dataset.root, source.dataset.name
    shown, hint = source.shown, f"say with --labels {source.dataset.name}=SCHEME what they mean"
    if not shown:
        return UserError(root, "annotates nothing: its masks hold no label", "check that they are the right files")
    known = any(anatomy.kind is not Kind.STRUCTURE for other in others for anatomy in other.shown.values())
    if known and all(anatomy.kind is Kind.STRUCTURE for anatomy in shown.values()):
        problem = f"annotates nothing that is known: its labels {listed([str(v) for v in shown])} are plain structures"
        return UserError(root, problem, f"{hint}, or describe them in dataset.json")
    wrong = contradiction(source.training, source.scheme)
    if wrong is None:
        return None
    worst = max(source.training, key=lambda case: contradiction([case], source.scheme) is not None)
    like = next((other for other in others if set(other.shown) & set(shown)), None)
    beside = f", where {like.mask(like.training[0].id)} has the same integers" if like else ""
    names = [f"--labels {name}={fitting}" for fitting in fitting_schemes(source.training, source.scheme)]
    return UserError(f"{source.mask(worst.id)} and others of {name}{beside}", wrong, " or ".join(names) or hint)


def _contradicting_twins(sources: Sequence[MeasuredCases]) -> Iterator[UserError]:
    """Find the same scan in two data sets whose masks give a structure different levels."""
    seen: dict[str, tuple[MeasuredCases, CaseFingerprint]] = {}
    for source in sources:
        for case in source.cases:
            twin, one = seen.setdefault(case.image_checksum, (source, case))
            if twin is source:
                continue
            difference = _difference(heights(one, twin.scheme), heights(case, source.scheme))
            if difference:
                problem = f"is of the same scan as {twin.mask(one.id)}, which {difference}"
                hint = f"correct one of them, or say with --labels {source.dataset.name}=SCHEME what its integers mean"
                yield UserError(source.mask(case.id), problem, hint)


def heights(case: CaseFingerprint, scheme: LabelScheme) -> dict[tuple[bool, int], float]:
    """Return the row of each vertebra (its body where parts are told apart) and disc, by (is a disc, level)."""
    rows: dict[tuple[bool, int], float] = {}
    for kind in (Kind.VERTEBRA, Kind.BODY, Kind.DISC):
        for value, centroid in case.centroids.items():
            anatomy = scheme.anatomies.get(value)
            if anatomy is not None and anatomy.kind is kind and anatomy.level is not None:
                rows[kind is Kind.DISC, anatomy.level] = centroid[1]
    return rows


def _difference(one: Mapping[tuple[bool, int], float], other: Mapping[tuple[bool, int], float]) -> str:
    """Say which level of one mask is nearest to another level of the other; empty where they agree."""
    for (disc, level), row in other.items():
        near = {k: abs(height - row) for (is_disc, k), height in one.items() if is_disc == disc}
        nearest = min(near, key=lambda k: near[k], default=level)
        if nearest != level and level in near:
            kind = Kind.DISC if disc else Kind.VERTEBRA
            return f"has {Anatomy(kind, nearest).name} where this one has {Anatomy(kind, level).name}"
    return ""


def one_patient_per_image(cases: Sequence[CaseFingerprint]) -> list[CaseFingerprint]:
    """Give a scan that several data sets hold one patient, so that no fold is trained on what it is scored on."""
    first: dict[str, str] = {}
    same = {case.patient: case.patient for case in cases}

    def root(patient: str) -> str:
        while same[patient] != patient:
            patient = same[patient]
        return patient

    for case in cases:
        same[root(case.patient)] = root(first.setdefault(case.image_checksum, case.patient))
    return [replace(case, patient=root(case.patient)) for case in cases]


def shared_images(cases: Sequence[CaseFingerprint]) -> list[str]:
    """Name the scans that several data sets hold."""
    by_image: dict[str, list[CaseFingerprint]] = {}
    for case in cases:
        by_image.setdefault(case.image_checksum, []).append(case)
    shared = [same for same in by_image.values() if len({case.source for case in same}) > 1]
    return [f"the same image in several data sets: {listed([case.id for case in same])}" for same in shared]
