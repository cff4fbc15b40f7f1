"""The plan: every decision about one configuration, with its reason, as JSON that a person can read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import prod
from pathlib import Path
from typing import Any

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.labels.encoding import Encoding
from autospine.labels.joint import SourceLabels
from autospine.labels.schemes import LabelScheme
from autospine.networks.shape import NetworkShape
from autospine.planning.training_domain import TrainingDomain
from autospine.preprocessing.grid import Grid
from autospine.preprocessing.normalisation import Normalisation

VERSION = 5  # 5: sources; merged labels and sources of the encoding
FIRST, AGAIN = "run autospine_plan first", "run autospine_plan again"
Triple = tuple[int, int, int]
MOST_VOXELS = 2**27  # of a patch; more is damage


@dataclass(frozen=True)
class Reason:
    """Why a decision was taken."""

    decision: str  # what was decided
    because: str  # why, in one sentence
    figures: str = ""  # the fingerprint's figures behind it


@dataclass(frozen=True)
class CoarserGrid:
    """What of a plan is another on larger pixels, for trainings that are short of time."""

    pixel_mm: float  # longest side of a pixel in-plane
    grid: Grid
    patch: Triple
    batch: int
    network: NetworkShape
    memory_gib: float


@dataclass(frozen=True)
class Plan:
    """One configuration."""

    name: str  # its planner's name, such as "2d_sagittal"
    view_axis: int | None  # canonical axis along which 2-D slices are taken; None for volumes
    grid: Grid  # spacing rules
    patch: Triple  # voxels along (slices, rows, columns); 1 along the view axis
    batch: int  # patches per update
    network: NetworkShape  # widths, kernels and strides of the baseline on this patch
    normalisation: Normalisation  # intensity rule
    scheme: LabelScheme  # the data set's labels
    encoding: Encoding  # what the network learns of them
    channels: tuple[str, ...]  # image channels
    mirror_axes: tuple[int, ...]  # canonical axes along which mirroring changes nothing but left and right
    training_domain: TrainingDomain  # ranges of the training data
    memory_gib: float  # predicted memory of training
    reasons: tuple[Reason, ...] = ()  # of its decisions
    coarser: tuple[CoarserGrid, ...] = ()  # from the finest on; a time budget may take one
    pixel_mm: float | None = None  # of the coarser grid that a time budget took; None for the plan's own
    sources: tuple[SourceLabels, ...] = ()  # the data sets, where several are planned together
    version: int = VERSION  # of the file format

    def __post_init__(self) -> None:
        if self.view_axis not in (None, 0, 1, 2) or not set(self.mirror_axes) <= {0, 1, 2}:
            raise ValueError("view_axis and mirror_axes should be 0, 1 or 2")
        if self.batch < 1 or min(self.patch) < 1 or prod(self.patch) > MOST_VOXELS:
            raise ValueError(f"batch {self.batch}, patch {' x '.join(map(str, self.patch))}")
        if self.network.dimension != self.dimension:
            raise ValueError(f"its network has {self.network.dimension} axes, its patch {self.dimension}")
        self.encoding.check_meanings(self.scheme)
        if not self.channels or not self.name:
            raise ValueError("a name and an image channel are needed")

    def mask_scheme(self, source: str) -> LabelScheme:
        """Return the scheme of the masks of a source; of the data set where it is one alone."""
        return next((labels.scheme for labels in self.sources if labels.name == source), self.scheme)

    @property
    def dimension(self) -> int:
        """Return 2 for slices, 3 for volumes."""
        return 3 if self.view_axis is None else 2

    @property
    def network_axes(self) -> tuple[int, ...]:
        """Return the canonical axes that the network sees, in its order."""
        return tuple(axis for axis in range(3) if axis != self.view_axis)

    @property
    def network_patch(self) -> tuple[int, ...]:
        """Return the voxels of the patch along `network_axes`."""
        return tuple(self.patch[axis] for axis in self.network_axes)

    @property
    def cases_name(self) -> str:
        """Return the name of the folder of its preprocessed cases."""
        return self.name if self.pixel_mm is None else f"{self.name}@{self.pixel_mm:g}"

    def resolutions(self) -> tuple[Plan, ...]:
        """Return the plan on each of its grids, the finest first; none of them has another to choose from."""
        own = replace(self, coarser=())
        return (own, *(replace(own, **{f.name: getattr(c, f.name) for f in fields(c)}) for c in self.coarser))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Plan:
        """Read `to_dict`'s values.

        Raises:
            UserError: Another version, an unknown key or a wrong type.
        """
        check_version(data, VERSION, where, AGAIN)
        return from_plain(cls, data, where)


@dataclass(frozen=True)
class Plans:
    """All configurations of a work folder."""

    plans: tuple[Plan, ...] = field(default=())

    def save(self, path: str | Path) -> None:
        """Write plans.json atomically."""
        write_json(path, {"version": VERSION, "plans": [plan.to_dict() for plan in self.plans]})

    @classmethod
    def load(cls, path: str | Path) -> Plans:
        """Read plans.json.

        Raises:
            UserError: It is missing, damaged or of another version.
        """
        data = read_json(path, FIRST)
        if not isinstance(data, dict) or not isinstance(data.get("plans"), list):
            raise UserError(path, "is not a file of plans", FIRST)
        check_version(data, VERSION, path, AGAIN)
        return cls(tuple(Plan.from_dict(item, str(path)) for item in data["plans"]))

    def get(self, name: str, where: str | Path) -> Plan:
        """Return the plan of that name.

        Raises:
            UserError: There is none; the message lists those there are.
        """
        for plan in self.plans:
            if plan.name == name:
                return plan
        names = ", ".join(plan.name for plan in self.plans) or "none"
        raise UserError(where, f"holds no plan {name!r}", f"choose from {names}, or plan again")
