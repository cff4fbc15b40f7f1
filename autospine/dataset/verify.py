"""Checks of a data set: problems of all cases are collected and reported together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autospine.core.errors import UserError
from autospine.core.parallel import together
from autospine.dataset.cases import Case, listed
from autospine.labels.schemes import BACKGROUND, LabelScheme

if TYPE_CHECKING:
    from autospine.volumes import Geometry

OWN_SCHEME = "describe the labels in dataset.json"


class _Described(Protocol):
    """A Case or a CaseFingerprint."""

    @property
    def id(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def subset(self) -> str: ...


def raise_together(problems: Sequence[UserError]) -> None:
    """Raise one error for all problems, if there are any, and log the full list.

    Raises:
        UserError: The problem, or the first with the number of the others.
    """
    if problems:
        raise together(problems)


def check_grids(case: Case, images: Sequence[Geometry], mask: Geometry | None) -> None:
    """Make sure that channels and mask lie on the first channel's grid.

    Raises:
        UserError: One does not; the message names both files and the difference.
    """
    others = list(zip(case.images[1:], images[1:], strict=True))
    if case.mask is not None and mask is not None:
        others.append((case.mask, mask))
    for path, geometry in others:
        difference = images[0].difference(geometry)
        if difference:
            problem = f"lies on another grid than {case.images[0]} ({difference})"
            raise UserError(path, problem, "resample it onto the image's grid or fix its header")


def intensity_problems(path: Path, minimum: float, maximum: float) -> list[UserError]:
    """Find NaN and infinite voxels, and constant images."""
    if not math.isfinite(minimum) or not math.isfinite(maximum):
        return [UserError(path, "holds NaN or infinite voxels", "export the scan again")]
    if minimum == maximum:
        return [UserError(path, f"is constant ({minimum:g} everywhere)", "remove the case or export it again")]
    return []


def case_problems(case: Case, voxels: Mapping[int, int], scheme: LabelScheme | None) -> list[UserError]:
    """Find labels of a mask that its scheme lacks, with their voxel counts; without a scheme any is right."""
    if scheme is None or case.mask is None:
        return []
    known = {BACKGROUND, scheme.ignore_label, *scheme.anatomies}
    unknown = [f"{label} ({count} voxels)" for label, count in sorted(voxels.items()) if label not in known]
    if not unknown:
        return []
    noun = "labels" if len(unknown) > 1 else "label"
    problem = f"holds the {noun} {listed(unknown)}, which the scheme {scheme.name} lacks"
    hint = f"correct the mask (autospine_clean --keep-labels), give --labels, or {OWN_SCHEME}"
    return [UserError(case.mask, problem, hint)]


def identity_problems(cases: Sequence[_Described]) -> list[UserError]:
    """Find ids given twice, and patients both in training and in validation."""
    problems, ids_seen = [], set()
    subsets: dict[str, dict[str, list[str]]] = {}
    for case in cases:
        if case.id in ids_seen:
            problems.append(UserError(case.id, "is the id of two cases", "rename one of them"))
        ids_seen.add(case.id)
        subsets.setdefault(case.patient, {}).setdefault(case.subset, []).append(case.id)
    for patient, ids in subsets.items():
        if len(ids) > 1:
            sides = " and ".join(f"{listed(names)} in {subset}" for subset, names in sorted(ids.items()))
            hint = "put all series of a patient into one subset of overview.csv, or correct patients.csv"
            problems.append(UserError(f"patient {patient}", f"stands on both sides ({sides})", hint))
    return problems
