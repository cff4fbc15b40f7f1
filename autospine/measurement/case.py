"""All figures of one case, from the shapes that were fitted and, where it is given, the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion

from autospine.core.errors import UserError
from autospine.labels.anatomy import LUMBAR, level_name
from autospine.labels.schemes import LabelScheme
from autospine.measurement.bodies import Body, Endplate
from autospine.measurement.canal import Section
from autospine.measurement.discs import Disc
from autospine.measurement.figures import DISC, SPINE, VERTEBRA, Figure, apply_limit, known, missing
from autospine.measurement.frames import coronal_tilt, sagittal_tilt
from autospine.measurement.instances import Instance
from autospine.measurement.spine import SpineShapes, find_shapes, name_of_disc
from autospine.volumes import Volume

NO_LOWER_ENDPLATE = "the vertebra below, or the sacrum, is not labelled"
GENANT_THRESHOLDS, MEYERDING_QUARTER, LEAST_SLIP = (0.20, 0.25, 0.40), 25.0, 5.0
BRIGHT = 75  # percentile of the canal's intensities above which it is taken to be CSF
CSF_REACH_MM = 20.0  # above and below a disc: CSF is measured within
LEAST_CSF = 20  # voxels
Figures = dict[str, Figure]


@dataclass(frozen=True)
class LevelMeasures:
    """The figures of one level: a vertebra and the disc under it."""

    level: int | None  # None in a mask without levels
    ordinal: int  # from below, 1 the lowest
    name: str  # of the vertebra
    disc_name: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class CaseMeasures:
    """The figures of one case."""

    id: str
    spacing: tuple[float, float, float]
    levels: tuple[LevelMeasures, ...]
    figures: Mapping[str, Figure]  # of the whole column
    lordosis_between: str  # such as "L1 to S1": the part that is visible
    notes: tuple[str, ...]
    shapes: SpineShapes


def measure_volume(id_: str, mask: Volume, scheme: LabelScheme, image: Volume | None = None) -> CaseMeasures:
    """Measure one mask.

    Args:
        id_: The case.
        mask: Its labels.
        scheme: What they mean.
        image: The scan on the mask's grid, for signals.

    Raises:
        UserError: The mask shows neither vertebrae nor discs, or the image lies on another grid.
    """
    where = str(mask.path or id_)
    if image is not None:
        difference = mask.geometry.canonical().difference(image.geometry.canonical())
        if difference:
            problem = f"lies on another grid than its mask {where}: {difference}"
            raise UserError(str(image.path or id_), problem, "give the scan that the mask was made on, or no -i")
    directions = mask.geometry.canonical().directions()
    up = np.array([directions[2, 0], directions[2, 2], -directions[2, 1]])  # the scanner's z along left, back, up
    shapes = find_shapes(mask.array, mask.spacing, scheme, up, where)
    return _measure_shapes(id_, shapes, None if image is None else image.array)


def _measure_shapes(id_: str, shapes: SpineShapes, image: np.ndarray | None) -> CaseMeasures:
    levels = []
    for level in sorted({*shapes.vertebrae, *shapes.discs}):
        figures = {**_vertebra_figures(shapes, level), **_disc_figures(shapes, level, image)}
        figures = {d.name: apply_limit(d, figures[d.name], shapes.spacing) for d in (*VERTEBRA, *DISC)}
        name = shapes.vertebrae[level].name if level in shapes.vertebrae else level_name(level)
        disc_name = name_of_disc(level, shapes.levelled)
        levels.append(LevelMeasures(level if shapes.levelled else None, level, name, disc_name, figures))
    column, between = _column_figures(shapes)
    column = {d.name: apply_limit(d, column[d.name], shapes.spacing) for d in SPINE}
    notes = tuple(f"{v.name}: {v.problem}" for v in shapes.vertebrae.values() if v.problem)
    return CaseMeasures(id_, shapes.spacing, tuple(levels), column, between, notes, shapes)


def _vertebra_figures(shapes: SpineShapes, level: int) -> Figures:
    vertebra = shapes.vertebrae.get(level)
    if vertebra is None or vertebra.body is None or vertebra.instance is None:
        reason = "not labelled" if vertebra is None else vertebra.problem
        return {definition.name: missing(reason) for definition in VERTEBRA}
    body = vertebra.body
    figures = _heights(body) | _extents(body, vertebra.instance, vertebra.cut_sides, shapes)
    tilts = [(body.direction_of(endplate), endplate.tilt_deviation) for endplate in (body.upper, body.lower)]
    line, deviation = tilts[0][0] + tilts[1][0], float(np.hypot(tilts[0][1], tilts[1][1]) / 2)
    figures["sagittal_tilt_deg"] = known(sagittal_tilt(line, body.frame.axes[0], shapes.up), deviation)
    figures["coronal_tilt_deg"] = _coronal_tilt(body, shapes)
    figures["segmental_lordosis_deg"] = _segmental_lordosis(shapes, level, body)
    return figures | _section_figures(shapes, body.frame.origin, body.frame.axes[2], "canal")


def _heights(body: Body) -> Figures:
    corners = zip((body.upper.anterior, body.upper.posterior), (body.lower.anterior, body.lower.posterior), strict=True)
    anterior, posterior = (float(np.hypot(a[0] - b[0], a[1] - b[1])) for a, b in corners)
    heights = (anterior, body.middle_height, posterior)
    deviations = [float(np.hypot(a, b)) for a, b in zip(body.upper.deviation, body.lower.deviation, strict=True)]
    loss = 1 - min(anterior, heights[1]) / posterior
    names = ("anterior_height_mm", "middle_height_mm", "posterior_height_mm")
    figures = {name: known(h, d) for name, h, d in zip(names, heights, deviations, strict=True)}
    shares = [deviation / height for deviation, height in zip(deviations, heights, strict=True)]
    wedge, biconcavity = anterior / posterior, heights[1] / posterior
    return figures | {
        "wedge_ratio": known(wedge, wedge * float(np.hypot(shares[0], shares[2]))),
        "biconcavity_ratio": known(biconcavity, biconcavity * float(np.hypot(shares[1], shares[2]))),
        "genant_suggestion": known(sum(loss >= threshold for threshold in GENANT_THRESHOLDS)),
    }


def _extents(body: Body, instance: Instance, cut_sides: bool, shapes: SpineShapes) -> Figures:
    depth = (body.upper.depth + body.lower.depth) / 2
    figures: Figures = {"depth_mm": known(depth, shapes.spacing[2] / np.sqrt(6))}
    if shapes.shape[0] < 2:
        return figures | dict.fromkeys(("width_mm", "volume_ml"), missing("one slice only"))
    if cut_sides:
        return figures | dict.fromkeys(("width_mm", "volume_ml"), missing("cut by the field of view at its sides"))
    areas = instance.mask.sum(axis=(1, 2)).astype(float)
    width = _extent_at_half(areas) * shapes.spacing[0]
    edge = areas[areas > 0].min() if (areas > 0).any() else 0.0
    volume_deviation = np.sqrt(2) * edge * float(np.prod(shapes.spacing)) / 1000 / np.sqrt(12)
    figures["width_mm"] = known(width, shapes.spacing[0] / np.sqrt(6))
    figures["volume_ml"] = known(instance.volume_ml, float(volume_deviation))
    return figures


def _extent_at_half(areas: np.ndarray) -> float:
    """Return over how many slices a structure extends, each end where its area passes half of the greatest."""
    padded = np.concatenate([[0.0], areas, [0.0]])
    half = padded.max() / 2
    inside = np.flatnonzero(padded >= half)
    first, last = int(inside[0]), int(inside[-1])
    before = (half - padded[first - 1]) / (padded[first] - padded[first - 1])
    after = (half - padded[last + 1]) / (padded[last] - padded[last + 1])
    return (last + 1 - after) - (first - 1 + before)


def _coronal_tilt(body: Body, shapes: SpineShapes) -> Figure:
    left = body.lateral_direction_of(body.top) + body.lateral_direction_of(body.bottom)
    deviation = float(np.degrees(np.hypot(body.top.slant_deviation, body.bottom.slant_deviation)) / 2)
    if shapes.shape[0] < 2:
        return missing("one slice only")
    return known(coronal_tilt(left, shapes.up), deviation)


def _segmental_lordosis(shapes: SpineShapes, level: int, body: Body) -> Figure:
    below = shapes.below(level)
    if below is None:
        return missing(NO_LOWER_ENDPLATE)
    return _endplate_angle(shapes, body, body.upper, below, below.upper)


def _endplate_angle(
    shapes: SpineShapes, upper: Body, upper_endplate: Endplate, lower: Body, lower_endplate: Endplate
) -> Figure:
    """Return the angle in degrees between endplates of two bodies, open to the front, in the plane between theirs."""
    left = upper.frame.axes[0] + lower.frame.axes[0]
    tilts = [
        sagittal_tilt(body.direction_of(endplate), left, shapes.up)
        for body, endplate in ((upper, upper_endplate), (lower, lower_endplate))
    ]
    return known(tilts[1] - tilts[0], float(np.hypot(upper_endplate.tilt_deviation, lower_endplate.tilt_deviation)))


def _section_figures(shapes: SpineShapes, centre: np.ndarray, up: np.ndarray, prefix: str) -> Figures:
    names = (f"{prefix}_diameter_mm", f"{prefix}_area_mm2")
    if shapes.canal is None:
        return dict.fromkeys(names, missing("the canal is not labelled"))
    section = shapes.canal.section(centre, up)
    if not isinstance(section, Section):
        return dict.fromkeys(names, missing(section))
    if shapes.shape[0] < 2:
        return {names[0]: known(section.diameter, section.deviation), names[1]: missing("one slice only")}
    if shapes.canal.mask[[0, -1]].any():
        return {names[0]: known(section.diameter, section.deviation), names[1]: missing("cut by the field of view")}
    deviation = float(np.sqrt(section.area / shapes.spacing[0]) * section.deviation)
    return {names[0]: known(section.diameter, section.deviation), names[1]: known(section.area, deviation)}


def _disc_figures(shapes: SpineShapes, level: int, image: np.ndarray | None) -> Figures:
    instance, disc = shapes.discs.get(level, (None, "not labelled"))
    figures: Figures = {definition.name: missing(disc if isinstance(disc, str) else "") for definition in DISC}
    vertebra = shapes.vertebrae.get(level)
    upper, lower = vertebra.body if vertebra else None, shapes.below(level)
    figures |= _slip(upper, lower, shapes)
    if isinstance(disc, str):
        return figures
    figures |= _disc_heights(disc, shapes)
    figures["disc_volume_ml"] = _disc_volume(instance, shapes)
    figures["disc_signal_csf"] = _signal(instance, shapes, image)
    axis = upper.frame.axes[2] if upper else lower.frame.axes[2] if lower else np.array([0.0, 0, 1])
    return figures | _section_figures(shapes, disc.centre, axis, "disc_canal")


def _disc_heights(disc: Disc, shapes: SpineShapes) -> Figures:
    deviation = float(np.hypot(disc.deviations[0], disc.deviations[2]))
    names = ("disc_anterior_height_mm", "disc_middle_height_mm", "disc_posterior_height_mm")
    pairs = zip(names, disc.heights, disc.deviations, strict=True)
    return {name: known(height, deviation) for name, height, deviation in pairs} | {
        "disc_dabbs_mm": known(disc.dabbs, deviation / 2),
        "disc_farfan_index": known(disc.farfan, deviation / disc.depth),
        "disc_depth_mm": known(disc.depth, shapes.spacing[2] / np.sqrt(6)),
    }


def _disc_volume(instance: Instance | None, shapes: SpineShapes) -> Figure:
    if instance is None:
        return missing("the disc has no label of its own")
    if shapes.shape[0] < 2:
        return missing("one slice only")
    if instance.touches(shapes.shape, 0):
        return missing("cut by the field of view at its sides")
    return known(instance.volume_ml)


def _signal(instance: Instance | None, shapes: SpineShapes, image: np.ndarray | None) -> Figure:
    """Return the mean of a disc, without its rim, over the bright part of the canal beside it."""
    if image is None:
        return missing("no image is given")
    if instance is None or shapes.canal is None:
        return missing("the disc or the canal is not labelled")
    without_rim = binary_erosion(instance.mask, np.ones((1, 3, 3)))
    inner = without_rim if without_rim.any() else instance.mask
    box = tuple(slice(c, c + n) for c, n in zip(instance.offset, instance.mask.shape, strict=True))
    margin = round(CSF_REACH_MM / shapes.spacing[1])
    rows = slice(max(box[1].start - margin, 0), box[1].stop + margin)
    values = image[:, rows][shapes.canal.mask[:, rows]]
    if len(values) < LEAST_CSF:
        return missing("too little of the canal is labelled beside it")
    bright = float(values[values >= np.percentile(values, BRIGHT)].mean())
    if bright <= 0:
        return missing("the canal is dark in this image")
    signal = image[box][inner].astype(float)
    return known(float(signal.mean()) / bright, float(signal.std() / np.sqrt(len(signal))) / bright)


def _slip(upper: Body | None, lower: Body | None, shapes: SpineShapes) -> Figures:
    names = ("slip_mm", "slip_percent", "meyerding_suggestion", "disc_angle_deg")
    if upper is None or lower is None:
        return dict.fromkeys(
            names, missing(NO_LOWER_ENDPLATE if upper is not None else "the vertebra above is not measured")
        )
    line, endplate = lower.direction_of(lower.upper), lower.upper
    slip = float((lower.frame.grid(0, *endplate.posterior) - upper.frame.grid(0, *upper.lower.posterior)) @ line)
    percent, deviation = 100 * slip / endplate.depth, shapes.spacing[2] / np.sqrt(6)
    grade = 0 if percent < LEAST_SLIP else min(int(percent // MEYERDING_QUARTER) + 1, 5)
    return {
        "slip_mm": known(slip, deviation),
        "slip_percent": known(percent, 100 * deviation / endplate.depth),
        "meyerding_suggestion": known(grade),
        "disc_angle_deg": _endplate_angle(shapes, upper, upper.lower, lower, endplate),
    }


def _column_figures(shapes: SpineShapes) -> tuple[Figures, str]:
    bodies = {level: v.body for level, v in sorted(shapes.vertebrae.items()) if v.body is not None}
    lordosis, between = _lordosis(shapes, bodies)
    sacrum = shapes.sacrum
    slope = missing("the sacrum is not labelled, or its endplate is not seen")
    if sacrum is not None:
        tilt = sagittal_tilt(sacrum.direction_of(sacrum.upper), sacrum.frame.axes[0], shapes.up)
        slope = known(tilt, sacrum.upper.tilt_deviation)
    volume = missing("the canal is not labelled")
    if shapes.canal is not None:
        volume = known(int(shapes.canal.mask.sum()) * float(np.prod(shapes.spacing)) / 1000)
        if shapes.shape[0] < 2:
            volume = missing("one slice only")
    figures = {
        "lordosis_deg": lordosis,
        "coronal_cobb_deg": _coronal_cobb(shapes, bodies),
        "sacral_slope_deg": slope,
        "canal_volume_ml": volume,
    }
    return figures, between


def _lordosis(shapes: SpineShapes, bodies: Mapping[int, Body]) -> tuple[Figure, str]:
    lumbar = {level: body for level, body in bodies.items() if level <= LUMBAR} if shapes.levelled else dict(bodies)
    if not lumbar:
        return missing("no lumbar vertebra is measured"), ""
    top, low = max(lumbar), min(lumbar)
    upper = lumbar[top]
    if shapes.sacrum is not None and low == 1:
        lower, endplate, last = shapes.sacrum, shapes.sacrum.upper, "S1"
    else:
        lower, endplate, last = lumbar[low], lumbar[low].lower, shapes.vertebrae[low].name
    between = f"{shapes.vertebrae[top].name} to {last}"
    if lower is upper:
        return missing("only one vertebra is measured"), between
    return _endplate_angle(shapes, upper, upper.upper, lower, endplate), between


def _coronal_cobb(shapes: SpineShapes, bodies: Mapping[int, Body]) -> Figure:
    if shapes.shape[0] < 2:
        return missing("one slice only")
    if len(bodies) < 2:
        return missing("only one vertebra is measured")
    sides = [(body.lateral_direction_of(curve), curve) for body in bodies.values() for curve in (body.top, body.bottom)]
    tilts = [(coronal_tilt(side, shapes.up), curve.slant_deviation) for side, curve in sides]
    low, high = min(tilts), max(tilts)
    return known(high[0] - low[0], float(np.degrees(np.hypot(low[1], high[1]))))
