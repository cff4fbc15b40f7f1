"""Planners: from a fingerprint to a plan with reasons.

A planner of your own subclasses `Planner`, sets `name` and `view_axis`, and overrides the decisions that differ.
"""

from __future__ import annotations

import copy
from abc import ABC
from dataclasses import replace
from typing import ClassVar

import numpy as np

from autospine.core.errors import UserError
from autospine.core.machine import Machine
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.fingerprint.label_order import OrderedLabels
from autospine.labels.anatomy import Kind
from autospine.labels.encoding import PARTIAL_ABOVE, Encoding, SemanticClass, plain_encoding
from autospine.networks.shape import NetworkShape, stages
from autospine.planning.joint_encoding import joint_encoding, joint_reasons, with_sources
from autospine.planning.memory import training_memory_gib
from autospine.planning.plan import CoarserGrid, Plan, Reason, Triple
from autospine.planning.start import StartingModel
from autospine.planning.training_domain import measure_domain
from autospine.preprocessing.grid import Grid, SliceInterpolation, case_grid
from autospine.preprocessing.normalisation import Normalisation

SMALLEST_PATCH = (4, 64, 32)  # slices, rows, columns: memory shrinks a patch no further
CONTEXT_MM = 40.0  # in view around the labelled column
COARSEST_MM = 1.3  # in-plane: larger pixels hardly show a disc
WORTH = 1.2  # a grid must be coarser by this factor than the one before it
ORDERED_KINDS = (Kind.VERTEBRA, Kind.DISC, Kind.BODY, Kind.STRUCTURE)
CLASS_NAMES = {Kind.VERTEBRA: "vertebra", Kind.DISC: "disc", Kind.BODY: "vertebral body"}


class Planner(ABC):
    """Plan one configuration.

    Class attributes:
        name: What --plans takes.
        view_axis: Canonical axis along which 2-D slices are taken; None for volumes.
        base_width, widest: Channels of the first stage and the limit.
        batch: Patches per update where the memory allows.
        smallest_batch: Below this the patch shrinks instead.
        patch_limit: Most voxels along each axis.
        coarser: Times the plan's own pixels, for trainings that are short of time.

    Attributes:
        slice_interpolation: How slices between the measured ones are made; None for the measured ones alone. Options
            of autospine_plan replace the class's own.
        pixel_spacing: In-plane, mm, by an option of autospine_plan; None takes the median of the data.
        start: The model whose weights the plan is made to fit; None plans freely.
    """

    name: ClassVar[str]
    view_axis: ClassVar[int | None]
    base_width: ClassVar[int] = 32
    widest: ClassVar[int] = 512
    batch: ClassVar[int] = 12
    smallest_batch: ClassVar[int] = 2
    patch_limit: ClassVar[Triple] = (64, 640, 320)
    coarser: ClassVar[tuple[float, ...]] = (2**0.5, 2.0)
    slice_interpolation: SliceInterpolation | None = None
    pixel_spacing: float | None = None
    start: StartingModel | None = None
    coarsening: float = 1.0  # of the pixels' median spacing

    def __init__(self, fingerprint: Fingerprint, machine: Machine) -> None:
        self.fingerprint = fingerprint
        self.machine = machine
        self.cases = list(fingerprint.training)
        self.reasons: list[Reason] = []

    def reason(self, decision: str, because: str, figures: str = "") -> None:
        """Note why something was decided."""
        self.reasons.append(Reason(decision, because, figures))

    def plan(self) -> Plan:
        """Take every decision, and again on coarser grids unless the user fixed the pixels.

        Raises:
            UserError: The data set cannot be planned this way.
        """
        self.check()
        self.check_start()
        plan = self.plan_on_one_grid()
        coarser = () if self.pixel_spacing or self.start else self.plan_coarser(plan)
        return replace(plan, coarser=coarser, reasons=tuple(self.reasons))

    def plan_coarser(self, plan: Plan) -> tuple[CoarserGrid, ...]:
        """Take the same decisions on coarser grids, among which autospine_train --minutes chooses."""
        grids: list[CoarserGrid] = []
        finest = before = pixel_mm(plan)
        for factor in self.coarser:
            wanted = min(factor * finest, COARSEST_MM)
            if wanted < WORTH * before:
                continue
            planner = copy.copy(self)
            planner.reasons, planner.coarsening = [], wanted / finest
            other = planner.plan_on_one_grid()
            if pixel_mm(other) <= before:  # a planner with a spacing of its own
                continue
            before = pixel_mm(other)
            grids.append(CoarserGrid(before, other.grid, other.patch, other.batch, other.network, other.memory_gib))
            self.reason(
                f"{before:g} mm where time is short",
                "autospine_train --minutes takes the finest spacing at which the narrowest network gets enough updates",
                f"patch {_shape(other.patch)}, batch {other.batch}, {len(other.network.strides)} stages, "
                f"about {other.memory_gib:.1f} GiB",
            )
        return tuple(grids)

    def plan_on_one_grid(self) -> Plan:
        """Take every decision in order."""
        grid = self.choose_grid()
        patch = self.choose_patch(grid)
        encoding = self.choose_encoding()
        network = self.choose_network(patch, grid, encoding)
        patch = self.fit_strides(patch, network)
        plan = Plan(
            name=self.name,
            view_axis=self.view_axis,
            grid=grid,
            patch=patch,
            batch=self.batch,
            network=network,
            normalisation=self.choose_normalisation(),
            scheme=self.fingerprint.scheme,
            sources=self.fingerprint.sources,
            encoding=encoding,
            channels=self.fingerprint.channels,
            mirror_axes=self.choose_mirroring(encoding),
            training_domain=measure_domain(self.fingerprint),
            memory_gib=0.0,
        )
        return self.fit_memory(plan)

    def check(self) -> None:
        """Refuse data sets that this planner cannot plan.

        Raises:
            UserError: There is nothing to train on.
        """
        if not self.cases:
            raise UserError("the data set", "holds no case with a mask", "add masks to train on")

    def check_start(self) -> None:
        """Leave out a start that sees other slices, or refuse it where the user asked for it.

        Raises:
            UserError: It has learnt another kind of plan.
        """
        start = self.start
        if start is None or start.plan.view_axis == self.view_axis:
            return
        problem = f"has learnt {start.plan.name} ({start.plan.dimension}-D), which is not planned like {self.name}"
        if start.asked:
            raise UserError(f"--init-from {start.name}", problem, f"plan {start.plan.name}, or leave it out")
        self.reason("fresh weights", f"{start.name} {problem}")
        self.start = None

    def choose_grid(self) -> Grid:
        """Keep the slices that were measured; take the median spacing in-plane."""
        spacings = np.array([case.spacing for case in self.cases])  # (cases, 3)
        median = [round(float(v), 4) for v in np.median(spacings, axis=0)]
        slices = self.through_plane_spacing(spacings)
        rows, columns = (self.pixel_side(side, axis) for axis, side in enumerate(median[1:], start=1))
        spacing = (slices, rows, columns)
        self.reason(
            f"spacing {_format_spacing(spacing)}",
            self.why_pixels((median[1], median[2]), (rows, columns)),
            f"rows {_range(spacings[:, 1])} mm, columns {_range(spacings[:, 2])} mm over {len(self.cases)} cases",
        )
        return Grid(spacing, slice_interpolation=self.slice_interpolation)

    def why_pixels(self, medians: tuple[float, ...], taken: tuple[float, ...]) -> str:
        """Say why pixels (rows, columns) of a size in mm are taken for data of median sizes."""
        if self.pixel_spacing:
            return f"the in-plane spacing is as asked for; the median is {medians[0]:g} x {medians[1]:g} mm"
        if self.start:
            return self.start.why_pixels(medians, taken)
        return "the in-plane spacing is the median, so that half of the cases are not enlarged"

    def pixel_side(self, median: float, axis: int = 2) -> float:
        """Return the mm of a pixel's side along an axis: as asked for, as the start's, or the median, or a coarser."""
        if self.pixel_spacing:
            return self.pixel_spacing
        if self.start and (mm := self.start.spacing(axis, median)) is not None:
            return mm
        return median if self.coarsening == 1 else round(median * self.coarsening, 2)

    def through_plane_spacing(self, spacings: np.ndarray) -> float | None:
        """Choose the spacing along the slice axis in mm; None keeps each case's own.

        Args:
            spacings: `(cases, 3)` mm.
        """
        self.reason(
            "the slice grid of each case is kept",
            "slices are segmented one by one, and interpolating between thick slices would invent tissue",
            f"slice spacing {_range(spacings[:, 0])} mm",
        )
        return None

    def choose_patch(self, grid: Grid) -> Triple:
        """Take the whole length of the spine, and the labelled column with context."""
        shapes = np.array([self.shape_on(grid, case) for case in self.cases])  # (cases, 3)
        rows = int(np.percentile(shapes[:, 1], 90))
        width = self.column_width(grid)
        columns = min(width, int(shapes[:, 2].max()))
        patch = self.limit((self.patch_slices(shapes), rows, columns))
        self.reason(
            f"a view of {_shape(patch)} voxels",
            "the whole length of the spine is in view, since a level cannot be recognised in a window; across, "
            f"the labelled column with {CONTEXT_MM:.0f} mm around it",
            f"rows {_range(shapes[:, 1], 0)}, labelled column up to {width} columns with context",
        )
        return patch

    def shape_on(self, grid: Grid, case: CaseFingerprint) -> tuple[int, ...]:
        """Return a case's (slices, rows, columns) on the grid."""
        return case_grid(grid, case.shape, case.spacing).shape

    def patch_slices(self, shapes: np.ndarray) -> int:
        """Return the patch's slices, given the cases' `shapes` (cases, 3) on the grid."""
        return 1

    def column_width(self, grid: Grid) -> int:
        """Return the columns that the labelled spine needs in a slice, with context."""
        widths = []
        for case in self.cases:
            if case.boxes:
                boxes = np.array(list(case.boxes.values()))  # (labels, 6)
                widths.append((boxes[:, 5].max() - boxes[:, 2].min() + 1) * case.spacing[2] + CONTEXT_MM)
        spacing = grid.spacing[2] or float(np.median([case.spacing[2] for case in self.cases]))
        return int(np.ceil(np.percentile(widths or [160.0], 95) / spacing))

    def limit(self, wanted: Triple) -> Triple:
        """Cut a patch down to `patch_limit`, and to one slice along the view axis."""
        sizes = [min(v, most) for v, most in zip(wanted, self.patch_limit, strict=True)]
        if self.view_axis is not None:
            sizes[self.view_axis] = 1
        return (sizes[0], sizes[1], sizes[2])

    def choose_encoding(self) -> Encoding:
        """Number the levels where labels are ordered along the spine; else learn one class per label."""
        joint = joint_encoding(self.fingerprint, self.offset_axes())
        if joint is None:
            return with_sources(self.alike_encoding(), self.fingerprint)
        self.reasons += joint_reasons(joint, self.fingerprint)
        return joint

    def alike_encoding(self) -> Encoding:
        """Return the encoding of labels that all cases annotate."""
        scheme = self.fingerprint.scheme
        values = tuple(sorted({v for case in self.cases for v in case.voxels if v and v != scheme.ignore_label}))
        # A distance of 0: no case shows two neighbours, so there is no order to count along.
        sequences = [
            labels
            for labels in self.fingerprint.ordered_labels
            if labels.kind in ORDERED_KINDS and len(labels.values) > 1 and labels.intervertebral_distance_mm > 0
        ]
        if not sequences:
            self.reason("levels are classified by appearance", "no labels are ordered along the spine")
            return plain_encoding(scheme, values)
        sequences.sort(key=lambda labels: ORDERED_KINDS.index(labels.kind))
        ordered = {v for labels in sequences for v in labels.values}
        classes = [SemanticClass(CLASS_NAMES.get(s.kind, "structure"), s.values, s.levels) for s in sequences]
        classes += [SemanticClass(scheme.anatomies[v].name, (v,)) for v in values if v not in ordered]
        levels = [level for labels in sequences for level in labels.levels]
        distance_mm = float(np.median([labels.intervertebral_distance_mm for labels in sequences]))
        return Encoding(
            classes=tuple(classes),
            levels=tuple(range(min(levels), max(levels) + 1)),
            offset_axes=self.offset_axes(),
            intervertebral_distance_mm=round(distance_mm, 1),
            partial_annotation_above=self._partial_above(sequences, distance_mm),
            ignore_label=scheme.ignore_label,
        )

    def _partial_above(self, sequences: list[OrderedLabels], distance_mm: float) -> bool:
        """Return whether the annotation stops before the image does, and note how levels are learnt."""
        counts = ", ".join(f"{len(labels.values)} {labels.kind.value} labels" for labels in sequences)
        self.reason(
            "levels are numbered by their order along the spine",
            "neighbouring levels look alike, so the network learns instances and their centres, which are then counted "
            "from the lowest",
            f"{counts}, in order in every case, {distance_mm:.1f} mm apart",
        )
        above_mm = min(labels.room_above_mm for labels in sequences)
        if above_mm <= PARTIAL_ABOVE * distance_mm:
            return False
        self.reason(
            "what lies above the topmost label is not learnt as background",
            "the annotation stops while the image shows more of the spine",
            f"{above_mm:.0f} mm of image above the centre of the topmost label",
        )
        return True

    def offset_axes(self) -> tuple[int, ...]:
        """Return the canonical axes along which offsets to the instance's centre are learnt."""
        return (1, 2)

    def choose_network(self, patch: Triple, grid: Grid, encoding: Encoding) -> NetworkShape:
        """Pool an axis while its spacing is within twice the finest and its size allows."""
        axes = [axis for axis in range(3) if axis != self.view_axis]
        channels = len(self.fingerprint.channels)
        if self.start:
            shape = replace(self.start.shape, in_channels=channels, out_channels=encoding.channels)
            named = ", ".join(map(str, shape.widths))
            decision = f"{len(shape.strides)} stages, widths {named}, as {self.start.name} has them"
            self.reason(decision, "its weights are started from, name by name")
            return shape
        median = np.median([case.spacing for case in self.cases], axis=0)
        spacing = [float(grid.spacing[a] or median[a]) for a in axes]
        kernels, strides = stages([patch[a] for a in axes], spacing)
        widths = tuple(min(self.base_width * 2**k, self.widest) for k in range(len(strides)))
        self.reason(
            f"{len(strides)} stages, widths {', '.join(map(str, widths))}",
            "an axis is pooled while its spacing is within twice the finest one, until the patch is a few voxels",
            f"patch spacing {_format_spacing(grid.spacing)}",
        )
        return NetworkShape(
            dimension=len(axes),
            in_channels=channels,
            out_channels=encoding.channels,
            widths=widths,
            kernels=kernels,
            strides=strides,
        )

    def fit_strides(self, patch: Triple, network: NetworkShape) -> Triple:
        """Round the patch up to what the network's strides divide."""
        sizes, axes = list(patch), [axis for axis in range(3) if axis != self.view_axis]
        for axis, factor in zip(axes, network.scale_factor, strict=True):
            sizes[axis] = -(-patch[axis] // factor) * factor
        fitted = (sizes[0], sizes[1], sizes[2])
        self.reason(
            f"patch {_shape(fitted)} voxels",
            "the view, rounded up to what the network's strides divide",
            f"strides of {_shape(network.scale_factor)} in all",
        )
        return fitted

    def choose_normalisation(self) -> Normalisation:
        """Clip at percentiles and take z-scores, case by case; or as the start does."""
        if self.start:
            self.reason("intensities are normalised as for " + self.start.name, "its weights know no others")
            return self.start.plan.normalisation
        shares = [case.clipped_share for case in self.cases]
        clipped = sum(share > 0.01 for share in shares)
        self.reason(
            "intensities are clipped at the case's 0.5 and 99.5 percentiles and z-scored",
            "MR intensities have no unit, and clipped and unclipped series must look alike",
            f"{clipped} of {len(shares)} cases look clipped",
        )
        return Normalisation()

    def choose_mirroring(self, encoding: Encoding) -> tuple[int, ...]:
        """Mirror left and right only: upside down would reverse the order of the levels."""
        if self.view_axis == 0:
            return ()
        self.reason("mirroring left and right only", "the labels are the same on both sides")
        return (0,)

    def fit_memory(self, plan: Plan) -> Plan:
        """Shrink the batch, then the patch, until training fits into the memory.

        Raises:
            UserError: The smallest patch does not fit.
        """
        limit = self.machine.memory_gib
        while (need := training_memory_gib(plan)) > limit and plan.batch > self.smallest_batch:
            plan = replace(plan, batch=max(plan.batch // 2, self.smallest_batch))
        wanted = plan.patch
        while (need := training_memory_gib(plan)) > limit:
            smaller = _smaller_patch(plan)
            if smaller is None:
                raise UserError(f"plan {self.name}", f"needs {need:.2f} GiB, {limit:.2f} are allowed", "raise --memory")
            plan = replace(plan, patch=smaller)
        if plan.patch != wanted:
            self.reason(
                f"patch cut to {_shape(plan.patch)} voxels",
                "the memory holds no more, so the spine is seen in windows and levels are harder to recognise",
                f"{_shape(wanted)} were wanted",
            )
        self.reason(
            f"batch of {plan.batch}, about {need:.1f} GiB for training",
            "as many patches as help and the memory holds",
            f"{limit:.1f} GiB on {self.machine.device}",
        )
        return replace(plan, memory_gib=round(need, 2))


def _smaller_patch(plan: Plan) -> Triple | None:
    """Halve the columns, or slices, or (last, since levels need them) rows; None where nothing can shrink."""
    factors = dict(zip(plan.network_axes, plan.network.scale_factor, strict=True))
    for axis in (2, 0, 1):
        if axis not in factors:
            continue
        half = -(-plan.patch[axis] // (2 * factors[axis])) * factors[axis]
        if SMALLEST_PATCH[axis] <= half < plan.patch[axis]:
            sizes = [half if a == axis else v for a, v in enumerate(plan.patch)]
            return (sizes[0], sizes[1], sizes[2])
    return None


def pixel_mm(plan: Plan) -> float:
    """Return the longest side of a plan's pixels, along the axes that are resampled and seen."""
    return max((mm for mm in plan.grid.spacing[1:] if mm is not None), default=COARSEST_MM)


def _range(values: np.ndarray, digits: int = 2) -> str:
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def _shape(values: tuple[int, ...]) -> str:
    return " x ".join(str(v) for v in values)


def _format_spacing(spacing: tuple[float | None, ...]) -> str:
    return " x ".join("own" if v is None else f"{v:g}" for v in spacing) + " mm"
