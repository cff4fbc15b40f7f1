"""The fitted shapes of one mask: bodies, sacrum, discs and canal, by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from autospine.core.errors import UserError
from autospine.labels.anatomy import Anatomy, Kind, level_name
from autospine.labels.conversion import check_labels, present_labels
from autospine.labels.schemes import LabelScheme
from autospine.measurement.bodies import Body, fit_body
from autospine.measurement.canal import Canal, find_canal
from autospine.measurement.discs import Disc, disc_between, fit_disc
from autospine.measurement.frames import BACK, UP
from autospine.measurement.instances import Instance, Spacing, find_instances, has_levels, number_discs, offset, select
from autospine.measurement.sacrum import fit_sacrum
from autospine.measurement.slab import OUTSIDE, Slab
from autospine.metrics.components import component_boxes
from autospine.preprocessing.separation import canal_front, largest_component, separate_body

VERTEBRAL = (Kind.BODY, Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA)  # the body itself first, where a mask has both
GREATEST_RATIO = 1.4  # of middle height to depth: no vertebra is so tall, two under one label are
HALF_WIDTH = 0.65  # of a lumbar body over its depth
SHORTEST, LONGEST = 0.72, 1.4  # endplate over the median of its own and its neighbours' bodies
LARGEST_ROTATION = 30.0  # degrees, of a body about its cranial axis


@dataclass(frozen=True)
class Vertebra:
    """The shape of a vertebra's body, or why it has none.

    Attributes:
        name: Such as "L4", or "vertebra 2 from below" without levels.
        instance: The body's mask; None where body and posterior elements cannot be told apart.
        body: Its shape; None where it cannot be measured.
        problem: Why it cannot.
        cut_sides: The first or the last slice cuts the body.
    """

    name: str
    instance: Instance | None
    body: Body | None
    problem: str = ""
    cut_sides: bool = False


@dataclass(frozen=True)
class SpineShapes:
    """All shapes that were fitted to a mask.

    Attributes:
        shape: Of the mask: slices, rows, columns.
        spacing: mm along each axis.
        levelled: The mask has levels; else all keys are ordinals from below.
        vertebrae: By level.
        discs: The instance, if it is labelled, and the shape or why there is none, by level of the vertebra above.
        sacrum: Its endplate.
        canal: Its mask and axis.
        up: The scanner's axis in grid coordinates, (3,).
    """

    shape: tuple[int, ...]
    spacing: Spacing
    levelled: bool
    vertebrae: Mapping[int, Vertebra]
    discs: Mapping[int, tuple[Instance | None, Disc | str]]
    sacrum: Body | None
    canal: Canal | None
    up: np.ndarray = field(default_factory=lambda: UP)

    def below(self, level: int) -> Body | None:
        """Return the body, or the sacrum's endplate, under a vertebra."""
        lower = self.vertebrae.get(level - 1)
        return lower.body if lower else self.sacrum if level == 1 else None


def find_shapes(
    mask: np.ndarray, spacing: Spacing, scheme: LabelScheme, up: np.ndarray = UP, where: str = "mask"
) -> SpineShapes:
    """Fit the shapes of all structures that a mask shows.

    Args:
        mask: Integers of the scheme, canonical (slices, rows, columns).
        spacing: mm along each axis.
        scheme: What the integers mean.
        up: The scanner's axis in grid coordinates (x left, y back, z up).
        where: The file that an error names.

    Raises:
        UserError: The mask holds a label outside its scheme, or neither vertebrae nor discs.
    """
    _check_anatomies(mask, scheme, where)
    canal_mask = select(mask, scheme, lambda anatomy: anatomy.kind in (Kind.CANAL, Kind.CORD))
    canal, front = find_canal(canal_mask, spacing), canal_front(canal_mask, spacing)
    levelled = has_levels(mask, scheme, VERTEBRAL)
    instances = find_instances(mask, spacing, scheme, VERTEBRAL, front)
    centres = {level: instance.centre for level, instance in instances.items()}
    slab = Slab(canal, mask.shape, spacing)
    vertebrae = {}
    for level, instance in instances.items():
        name = level_name(level) if levelled else f"vertebra {level} from below"
        vertebrae[level] = _vertebra(name, instance, slab, front, _cranial_axis(level, centres))
    vertebrae = _without_outliers(vertebrae)
    sacrum = _sacrum(mask, spacing, scheme, vertebrae.get(1))
    discs = find_instances(mask, spacing, scheme, (Kind.DISC,))
    if not levelled or not has_levels(mask, scheme, (Kind.DISC,)):
        discs = number_discs(discs, centres)
    bodies = {level: vertebra.body for level, vertebra in vertebrae.items()}
    has_neighbour = [level for level in bodies if level - 1 in bodies or (level == 1 and sacrum is not None)]
    disc_shapes = {
        level: _disc(discs.get(level), bodies.get(level), bodies.get(level - 1, sacrum), slab)
        for level in sorted({*discs, *has_neighbour})
    }
    return SpineShapes(mask.shape, spacing, levelled, vertebrae, disc_shapes, sacrum, canal, up)


def _check_anatomies(mask: np.ndarray, scheme: LabelScheme, where: str) -> None:
    present = present_labels(mask, where)
    if not any(present):
        raise UserError(where, "holds no label to measure", "look at its scan, or segment it again")
    check_labels(present, scheme, where)
    shown = {scheme.anatomies[value] for value in present if value in scheme.anatomies}
    if not any(anatomy.kind in (*VERTEBRAL, Kind.DISC) for anatomy in shown):
        names = ", ".join(sorted(anatomy.name for anatomy in shown)[:4])
        problem = f"shows neither vertebrae nor discs by the scheme {scheme.name} ({names})"
        raise UserError(where, problem, "name the masks' own scheme with --labels")


def _cranial_axis(level: int, centres: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return roughly the cranial direction of a structure: from the neighbour below to the one above."""
    neighbours = [k for k in (level - 1, level, level + 1) if k in centres]
    return centres[neighbours[-1]] - centres[neighbours[0]] if len(neighbours) > 1 else UP


def _vertebra(
    name: str,
    instance: Instance,
    slab: Slab,
    front: np.ndarray | None,
    up: np.ndarray,
) -> Vertebra:
    if instance.kind is Kind.PARTIAL_VERTEBRA:
        return Vertebra(name, None, None, "partly visible, as its label says")
    alone = _body_alone(instance, front)
    if alone is None:
        return Vertebra(name, None, None, "body and posterior elements cannot be told apart without the canal")
    if alone.touches(slab.shape, 1) or alone.touches(slab.shape, 2):
        return Vertebra(name, alone, None, "cut by the field of view")
    middle = slab.middle_of(alone)
    if isinstance(middle, str):
        return Vertebra(name, alone, None, middle)
    body = fit_body(alone, up, _posterior_axis(alone, slab.canal), middle)
    problem = "too small or too irregular to fit" if body is None else _implausible(body, alone, slab.shape[0])
    return Vertebra(name, alone, None if problem else body, problem, alone.touches(slab.shape, 0))


def _body_alone(instance: Instance, front: np.ndarray | None) -> Instance | None:
    """Return a vertebra's body: what is labelled so, without fragments, else what lies before the canal."""
    if instance.kind is Kind.BODY:
        return replace(instance, mask=largest_component(instance.mask))
    rows = slice(instance.offset[1], instance.offset[1] + instance.mask.shape[1])
    front_in_crop = None if front is None else front[rows] - instance.offset[2]
    mask = separate_body(instance.mask, front_in_crop, instance.spacing)
    return None if mask is None else replace(instance, mask=mask, kind=Kind.BODY)


def _implausible(body: Body, instance: Instance, slices: int) -> str:
    """Return why a fitted body is none, "" where it is one."""
    depth = (body.upper.depth + body.lower.depth) / 2
    if body.middle_height > GREATEST_RATIO * depth:
        return "taller than a vertebra: fused, or two under one label"
    first, last = instance.extent(0)
    cut_once = (first == 0) != (last == slices - 1)
    # A body is wider than deep: what is cut on one side and narrower than half of it does not show its middle.
    if cut_once and (last + 1 - first) * instance.spacing[0] < HALF_WIDTH * depth:
        return OUTSIDE
    return ""


def _without_outliers(vertebrae: Mapping[int, Vertebra]) -> dict[int, Vertebra]:
    """Return the vertebrae without bodies whose endplates are much shorter or longer than those beside them."""
    depths = {k: (v.body.upper.depth, v.body.lower.depth) for k, v in vertebrae.items() if v.body is not None}
    kept = dict(vertebrae)
    for level, own in depths.items():
        usual = float(np.median([depth for k in (level - 1, level, level + 1) for depth in depths.get(k, ())]))
        if min(own) < SHORTEST * usual or max(own) > LONGEST * usual:
            problem = (
                f"endplates of {own[0]:.0f} and {own[1]:.0f} mm, {usual:.0f} beside it: cut, or a fault of the mask"
            )
            kept[level] = replace(vertebrae[level], body=None, problem=problem)
    return kept


def _posterior_axis(instance: Instance, canal: Canal | None) -> np.ndarray:
    """Return roughly the posterior direction of a body: to the canal, else along the slices."""
    if canal is None:
        return BACK
    to_canal = canal.axis[canal.nearest(instance.centre, UP)] - instance.centre
    horizontal = np.array([to_canal[0], to_canal[1], 0.0])
    rotation = np.degrees(np.arctan2(abs(horizontal[0]), horizontal[1]))
    return horizontal / np.linalg.norm(horizontal) if rotation < LARGEST_ROTATION else BACK


def _sacrum(mask: np.ndarray, spacing: Spacing, scheme: LabelScheme, lowest: Vertebra | None) -> Body | None:
    if lowest is None or lowest.body is None:
        return None
    sacrum = select(mask, scheme, lambda anatomy: anatomy.kind is Kind.SACRUM)
    for _, box in component_boxes(sacrum.astype(np.uint8)):
        return fit_sacrum(Instance(sacrum[box], offset(box), spacing, Kind.SACRUM), lowest.body)
    return None


def _disc(
    instance: Instance | None, upper: Body | None, lower: Body | None, slab: Slab
) -> tuple[Instance | None, Disc | str]:
    if instance is not None and not instance.touches(slab.shape, 1):
        middle = slab.middle_of(instance)
        if isinstance(middle, str):
            return instance, middle
        up = upper.frame.axes[2] if upper else lower.frame.axes[2] if lower else UP
        disc = fit_disc(instance, up, BACK, middle)
        if disc is not None:
            return instance, disc
    if upper is not None and lower is not None:
        return instance, disc_between(lower, upper) or "no room between the endplates (fused?)"
    cut = "cut by the field of view"
    return instance, cut if instance is not None else "neither it nor both its vertebrae are labelled"


def name_of_disc(level: int, levelled: bool) -> str:
    """Return the name of a disc: "L4/L5", or "disc 2 from below" without levels."""
    return Anatomy(Kind.DISC, level).short_name if levelled else f"disc {level} from below"
