"""One picture a case: the mid-sagittal slice with endplates, heights, diameters, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autospine.core.files import write_with
from autospine.core.tables import DISCLAIMER, NONE
from autospine.core.text import printable
from autospine.measurement.bodies import Body
from autospine.measurement.canal import Section
from autospine.measurement.case import CaseMeasures, LevelMeasures
from autospine.measurement.discs import Disc
from autospine.measurement.figures import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

PAPER, INK, FAINT = "#101216", "#f2f2f2", "#9aa0a8"
ENDPLATE, HEIGHT, DISC, CANAL, ANGLE = "#ffd24a", "#7fd4ff", "#9cf09c", "#ff8fb0", "#ff9d4a"
INCHES, DPI = 8.6, 130  # height of the picture, dots per inch
MARGIN_MM, NOTES_MM = 14.0, 46.0  # around the spine; room for numbers on either side
APART_MM = 8.5  # lines of numbers stand no nearer
DARKEST_TO_BRIGHTEST = (1, 99.5)  # percentiles
PNG = {"compress_level": 3}
FOOTER = f"mm and degrees. Names assume five lumbar vertebrae. {DISCLAIMER}"
Note = tuple[float, float, str, str]  # y and z in mm of what it is about, text, colour


def draw_measurements(case: CaseMeasures, image: np.ndarray, mask: np.ndarray, path: str | Path) -> None:
    """Draw a case's figures.

    Args:
        case: What was measured.
        image: (slices, rows, columns), any intensities.
        mask: The same shape, labels.
        path: The PNG to write, atomically.

    Raises:
        UserError: The file cannot be written.
    """
    sheet = make_sheet(case, image, mask)
    write_with(path, lambda file: sheet.savefig(file, format="png", dpi=DPI, facecolor=PAPER, pil_kwargs=PNG))


def make_sheet(case: CaseMeasures, image: np.ndarray, mask: np.ndarray) -> Sheet:
    """Return the picture: image, lines, and numbers to the left (vertebrae) and to the right (discs, canal)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    spacing = case.spacing
    index = _middle_slice(case, mask)
    labelled = np.argwhere((mask != 0).any(axis=0)) * spacing[1:]
    low, high = labelled.min(axis=0) - MARGIN_MM, labelled.max(axis=0) + MARGIN_MM
    left, right = low[1] - NOTES_MM, high[1] + NOTES_MM
    ratio = (right - left) / (high[0] - low[0])
    sheet = Sheet(figsize=(INCHES * ratio, INCHES + 0.8), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(sheet)
    tall = INCHES / (INCHES + 0.8)
    axes = sheet.add_axes((0.0, 0.36 / (INCHES + 0.8), 1.0, tall))
    rows, columns = ((image.shape[axis] - 0.5) * spacing[axis] for axis in (1, 2))
    extent = (-spacing[2] / 2, columns, rows, -spacing[1] / 2)
    dark, bright = np.percentile(image[index], DARKEST_TO_BRIGHTEST)
    window = (float(dark), float(max(bright, dark + 1e-6)))
    axes.imshow(image[index], "gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="bilinear")
    axes.set(xlim=(left, right), ylim=(high[0], low[0]), facecolor=PAPER, aspect="equal")
    axes.set_axis_off()
    _draw_bodies(axes, case)
    _draw_discs(axes, case)
    _draw_canal(axes, case)
    _write_notes(axes, _vertebra_notes(case), left + 2, "left", low[0], high[0])
    _write_notes(axes, _disc_notes(case), right - 6, "right", low[0], high[0])
    style: dict[str, Any] = {"ha": "center", "va": "top", "parse_math": False}  # an id may be "$_$", or no UTF-8
    sheet.text(0.5, 0.992, printable(case.id), color=INK, fontsize=12, **style)
    sheet.text(0.5, 0.966, _heading(case, index, image.shape[0]), color=ANGLE, fontsize=9, ha="center", va="top")
    sheet.text(0.5, 0.008, FOOTER, color=FAINT, fontsize=8, ha="center", va="bottom")
    return sheet


def _middle_slice(case: CaseMeasures, mask: np.ndarray) -> int:
    middles = [v.body.frame.origin[0] for v in case.shapes.vertebrae.values() if v.body is not None]
    if not middles:
        return int(np.median(np.argwhere(mask != 0)[:, 0]))
    return int(np.clip(round(float(np.median(middles)) / case.spacing[0]), 0, mask.shape[0] - 1))


def _line(axes: Axes, points: Sequence[np.ndarray], colour: str, width: float = 1.2, **style: Any) -> None:
    """Draw a line through grid points, (3,) each."""
    flat = np.array(points)
    axes.plot(flat[:, 1], -flat[:, 2], color=colour, linewidth=width, solid_capstyle="round", **style)


def _draw_bodies(axes: Axes, case: CaseMeasures) -> None:
    bodies = [v.body for v in case.shapes.vertebrae.values() if v.body is not None]
    for body in bodies:
        frame = body.frame
        for endplate in (body.upper, body.lower):
            _line(axes, [frame.grid(0, *endplate.anterior), frame.grid(0, *endplate.posterior)], ENDPLATE)
        for a, b in ((body.upper.anterior, body.lower.anterior), (body.upper.posterior, body.lower.posterior)):
            _line(axes, [frame.grid(0, *a), frame.grid(0, *b)], HEIGHT)
        v = body.middle_v
        _line(axes, [frame.grid(0, v, float(c.at(v))) for c in (body.top, body.bottom)], HEIGHT)
        corners = [
            frame.grid(0, *p) for endplate in (body.upper, body.lower) for p in (endplate.anterior, endplate.posterior)
        ]
        axes.plot([c[1] for c in corners], [-c[2] for c in corners], "o", color=ENDPLATE, markersize=2.6)
    if case.shapes.sacrum is not None:
        _draw_extended(axes, case.shapes.sacrum, lower=False)
    if bodies and case.figures["lordosis_deg"].value is not None:
        lumbar = [v.body for k, v in case.shapes.vertebrae.items() if v.body is not None and k <= 5]
        if lumbar:
            _draw_extended(axes, lumbar[-1], lower=False)
            if case.shapes.sacrum is None:
                _draw_extended(axes, lumbar[0], lower=True)


def _draw_extended(axes: Axes, body: Body, lower: bool) -> None:
    """Draw an endplate's line beyond the body: one of the lordosis's two lines."""
    endplate = body.lower if lower else body.upper
    front, back = (body.frame.grid(0, *point) for point in (endplate.anterior, endplate.posterior))
    _line(axes, [front - 0.6 * (back - front), back + 0.5 * (back - front)], ANGLE, 1.0, linestyle=(0, (4, 2)))


def _draw_discs(axes: Axes, case: CaseMeasures) -> None:
    for _, disc in case.shapes.discs.values():
        if isinstance(disc, Disc):
            for below, above in disc.ends:
                _line(axes, [below, above], DISC)


def _draw_canal(axes: Axes, case: CaseMeasures) -> None:
    canal = case.shapes.canal
    if canal is None:
        return
    for vertebra in case.shapes.vertebrae.values():
        if vertebra.body is not None:
            section = canal.section(vertebra.body.frame.origin, vertebra.body.frame.axes[2])
            if isinstance(section, Section):
                _line(axes, [section.front, section.back], CANAL)


def _vertebra_notes(case: CaseMeasures) -> list[Note]:
    notes = []
    for level in case.levels:
        vertebra = case.shapes.vertebrae.get(level.ordinal)
        if vertebra is None:
            continue
        if vertebra.body is None:
            if vertebra.instance is not None:
                _, y, z = vertebra.instance.centre
                notes.append((float(y), -float(z), f"{level.name}  {vertebra.problem}", FAINT))
            continue
        body = vertebra.body
        front = (body.frame.grid(0, *body.upper.anterior) + body.frame.grid(0, *body.lower.anterior)) / 2
        heights = _joined(level.figures, ("anterior_height_mm", "middle_height_mm", "posterior_height_mm"))
        wedge = _text(level.figures["wedge_ratio"], 2)
        notes.append((front[1], -front[2], f"{level.name}  {heights}\nwedge {wedge}{_grade(level)}", HEIGHT))
    return notes


def _grade(level: LevelMeasures) -> str:
    grade = level.figures["genant_suggestion"].value
    return f"  Genant {grade:.0f}?" if grade else ""


def _disc_notes(case: CaseMeasures) -> list[Note]:
    notes = []
    for level in case.levels:
        _, disc = case.shapes.discs.get(level.ordinal, (None, ""))
        if not isinstance(disc, Disc):
            continue
        figures = level.figures
        heights = _joined(figures, ("disc_anterior_height_mm", "disc_middle_height_mm", "disc_posterior_height_mm"))
        details = [f"{_text(figures['disc_angle_deg'], 0)}°"] if figures["disc_angle_deg"].value is not None else []
        if figures["slip_mm"].value is not None:
            details.append(f"slip {figures['slip_mm'].value:+.1f}")
        if figures["disc_canal_diameter_mm"].value is not None:
            details.append(f"canal {_text(figures['disc_canal_diameter_mm'], 1)}")
        back = disc.ends[2].mean(axis=0)
        notes.append((back[1], -back[2], f"{level.disc_name}  {heights}\n{'  '.join(details)}", DISC))
    return notes


def _joined(figures: Mapping[str, Figure], names: Sequence[str]) -> str:
    return " / ".join(_text(figures[name], 1) for name in names)


def _text(figure: Figure, digits: int) -> str:
    return NONE if figure.value is None else f"{figure.value:.{digits}f}"


def _write_notes(axes: Axes, notes: list[Note], x: float, side: str, top: float, bottom: float) -> None:
    """Write numbers into a margin, level with what they are about, moved apart where they would overlap."""
    notes = sorted(notes, key=lambda note: note[1])
    heights = [note[1] for note in notes]
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + APART_MM)
    for k in range(len(heights) - 1, -1, -1):
        limit = bottom - 4 if k == len(heights) - 1 else heights[k + 1] - APART_MM
        heights[k] = min(heights[k], limit)
    for (y, z, text, colour), height in zip(notes, heights, strict=True):
        axes.text(x, height, text, color=colour, fontsize=7.4, ha=side, va="center", linespacing=1.25, **_halo())
        end = x + (NOTES_MM - 4) * (1 if side == "left" else -1)
        axes.plot([end, y], [height, z], color=colour, linewidth=0.5, alpha=0.55)


def _halo() -> dict[str, Any]:
    from matplotlib.patheffects import withStroke

    return {"path_effects": [withStroke(linewidth=2.4, foreground="black", alpha=0.85)]}


def _heading(case: CaseMeasures, index: int, slices: int) -> str:
    parts = [f"slice {index + 1} of {slices}"]
    if case.figures["lordosis_deg"].value is not None:
        parts.append(f"lordosis {case.lordosis_between} {_text(case.figures['lordosis_deg'], 0)}°")
    if case.figures["sacral_slope_deg"].value is not None:
        parts.append(f"sacral slope {_text(case.figures['sacral_slope_deg'], 0)}°")
    if case.figures["coronal_cobb_deg"].value is not None:
        parts.append(f"coronal Cobb {_text(case.figures['coronal_cobb_deg'], 0)}°")
    return "   ".join(parts)
