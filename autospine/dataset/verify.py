"""Checks of a data set: what is wrong with it is found in all cases and said together."""

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


class Described(Protocol):
    """What both a Case and a CaseFingerprint have."""

    @property
    def id(self) -> str:
        """Name of the case."""

    @property
    def patient(self) -> str:
        """Whose scan it is."""

    @property
    def subset(self) -> str:
        """Either "training" or "validation"."""


def raise_together(problems: Sequence[UserError]) -> None:
    """Does nothing without problems; else raises one line and logs the full list.

    Raises:
        UserError: The problem, or the first with the number of the others.
    """
    if problems:
        raise together(problems)


def check_grids(case: Case, images: Sequence[Geometry], mask: Geometry | None) -> None:
    """Makes sure that channels and mask lie on the first channel's grid.

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
    """Whether an image holds anything: NaN and constant images teach nothing."""
    if not math.isfinite(minimum) or not math.isfinite(maximum):
        return [UserError(path, "holds NaN or infinite voxels", "export the scan again")]
    if minimum == maximum:
        return [UserError(path, f"is constant ({minimum:g} everywhere)", "remove the case or export it again")]
    return []


def case_problems(case: Case, voxels: Mapping[int, int], scheme: LabelScheme | None) -> list[UserError]:
    """Labels of a mask that its scheme lacks, with their voxel counts.

    Args:
        case: The case.
        voxels: Voxel count by label.
        scheme: The scheme, or None if any label is right.
    """
    if scheme is None or case.mask is None:
        return []
    known = {BACKGROUND, scheme.ignore_label, *scheme.anatomies}
    strays = [f"{label} ({count} voxels)" for label, count in sorted(voxels.items()) if label not in known]
    if not strays:
        return []
    noun = "labels" if len(strays) > 1 else "label"
    problem = f"holds the {noun} {listed(strays)}, which the scheme {scheme.name} lacks"
    hint = f"correct the mask (autospine_clean --keep-labels), give --labels, or {OWN_SCHEME}"
    return [UserError(case.mask, problem, hint)]


def identity_problems(cases: Sequence[Described]) -> list[UserError]:
    """Ids given twice, and patients who stand both in training and in validation."""
    problems, seen = [], set()
    subsets: dict[str, dict[str, list[str]]] = {}
    for case in cases:
        if case.id in seen:
            problems.append(UserError(case.id, "is the id of two cases", "rename one of them"))
        seen.add(case.id)
        subsets.setdefault(case.patient, {}).setdefault(case.subset, []).append(case.id)
    for patient, ids in subsets.items():
        if len(ids) > 1:
            sides = " and ".join(f"{listed(names)} in {subset}" for subset, names in sorted(ids.items()))
            hint = "put all series of a patient into one subset of overview.csv, or correct patients.csv"
            problems.append(UserError(f"patient {patient}", f"stands on both sides ({sides})", hint))
    return problems
