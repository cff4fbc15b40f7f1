"""Overlay pictures: a scan with its labels' outlines, level names and a legend, as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from autospine.core.errors import UserError
from autospine.core.files import write_with
from autospine.core.tables import DISCLAIMER
from autospine.core.text import printable
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import check_labels, present_labels
from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.overlay.colours import colour_of
from autospine.overlay.views import View, find_views

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOOTER = f"Names assume five lumbar vertebrae. {DISCLAIMER}"
HEIGHT, DPI = 6.4, 130  # inches of the views, dots per inch
ABOVE, BELOW, LEGEND_LINE, GAP, EDGE = 0.62, 0.42, 0.26, 0.12, 0.15  # inches
NARROWEST, WIDEST = 5.0, 22.0  # inches of the whole picture
HEADING, REMARK_LINE, REMARK_LETTERS = 0.36, 0.18, 13  # inches, letters of a remark to an inch
PAPER, INK, FAINT, WARNING = "#101216", "#f2f2f2", "#9aa0a8", "#ffb340"
FILL, LINE = 0.3, 1.3
PNG = {"compress_level": 3}  # a tenth larger than at 6, and written in half the time
NAMED = (Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA, Kind.BODY)
SMALLEST_NAMED_MM2 = 90.0
ENTRY_INCHES = 1.25


def draw_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    spacing: Sequence[float],
    scheme: LabelScheme,
    path: str | Path,
    title: str = "",
    remarks: Sequence[str] = (),
) -> None:
    """Draw a scan with its labels.

    Args:
        image: (slices, rows, columns), any intensities.
        mask: The same shape, integers of `scheme`; unlabelled voxels are left plain.
        spacing: mm along each axis.
        scheme: What the integers mean.
        path: The PNG to write, atomically.
        title: Printed above.
        remarks: What to know before the mask is used, below the title.

    Raises:
        UserError: Image and mask differ in shape, the mask holds a label outside the scheme, or the file
            cannot be written.
    """
    if image.shape != mask.shape:
        raise UserError(path, f"image {image.shape} and mask {mask.shape} differ in shape", "use one grid")
    check_labels(present_labels(mask, path), scheme, path)
    if scheme.ignore_label is not None:
        mask = mask.copy()
        mask[mask == scheme.ignore_label] = BACKGROUND
    words = [printable(text) for text in (title, *remarks)]
    figure = make_figure(find_views(image, mask, spacing), scheme, words[0], words[1:])
    write_with(path, lambda file: figure.savefig(file, format="png", dpi=DPI, facecolor=PAPER, pil_kwargs=PNG))


def make_figure(views: Sequence[View], scheme: LabelScheme, title: str, remarks: Sequence[str] = ()) -> Figure:
    """Lay the views side by side, all in one scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [scheme.anatomies[label] for label in sorted({x for v in views for x in _labels(v)})]
    legend = [anatomy for anatomy in sorted(set(shown)) if not _is_named(anatomy, shown)]
    tallest = max(view.size_mm[0] for view in views)
    total = sum(view.size_mm[1] for view in views)
    gaps = GAP * (len(views) - 1) + 2 * EDGE
    scale = min(HEIGHT / tallest, (WIDEST - gaps) / total)  # inches per mm
    width = max(total * scale + gaps, NARROWEST)
    lines = -(-len(legend) // max(int(width / ENTRY_INCHES), 1))
    below = BELOW + LEGEND_LINE * lines
    remark_lines = [line for remark in remarks for line in wrap(remark, int(width * REMARK_LETTERS))]
    height = tallest * scale + ABOVE + REMARK_LINE * len(remark_lines) + below
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    left = (width - total * scale - GAP * (len(views) - 1)) / 2
    low, high = _window(views)
    for view in views:
        tall, wide = (mm * scale for mm in view.size_mm)
        box = (left / width, (below + tallest * scale - tall) / height, wide / width, tall / height)
        _draw_view(figure.add_axes(box), view, scheme, shown, (low, high))
        left += wide + GAP
    heading = title if shown else f"{title} (nothing labelled)".strip()
    _write_above(figure, heading, remark_lines)
    _write_below(figure, legend, lines)
    return figure


def _labels(view: View) -> list[int]:
    return [label for label in present_labels(view.mask) if label != BACKGROUND]


def _is_named(anatomy: Anatomy, shown: Sequence[Anatomy]) -> bool:
    """Return whether its name stands in the picture: levels of vertebrae, else of discs, else plain structures."""
    levelled = {other.kind for other in shown if other.level is not None}
    if levelled & set(NAMED):
        kinds: tuple[Kind, ...] = NAMED
    else:
        kinds = (Kind.DISC,) if Kind.DISC in levelled else (Kind.STRUCTURE,)
    alone = kinds[0] is not Kind.STRUCTURE or all(other.kind is Kind.STRUCTURE for other in shown)
    return anatomy.level is not None and anatomy.kind in kinds and alone


def _window(views: Sequence[View]) -> tuple[float, float]:
    """Return the darkest and brightest intensity worth showing."""
    low, high = np.percentile(np.concatenate([view.image.ravel() for view in views]), (0.5, 99.3))
    return float(low), float(max(high, low + 1e-6))


def _draw_view(
    axes: Axes, view: View, scheme: LabelScheme, shown: Sequence[Anatomy], window: tuple[float, float]
) -> None:
    tall, wide = view.size_mm
    extent = (0, wide, tall, 0)
    axes.imshow(view.image, "gray", vmin=window[0], vmax=window[1], interpolation="bilinear", extent=extent)
    for label in _labels(view):
        _draw_label(axes, view, label, scheme.anatomies[label], shown)
    axes.set_xlim(0, wide)
    axes.set_ylim(tall, 0)
    axes.set_axis_off()
    axes.set_title(view.title, color=FAINT, fontsize=9, pad=4, y=1.0)  # a given height spares a search for room
    for x, letter in zip((0.02, 0.98), view.sides, strict=True):
        side = "left" if x < 0.5 else "right"
        axes.text(x, 0.985, letter, transform=axes.transAxes, color=INK, fontsize=9, ha=side, va="top", **_halo(2))


def _draw_label(axes: Axes, view: View, label: int, anatomy: Anatomy, shown: Sequence[Anatomy]) -> None:
    from contourpy import FillType, contour_generator
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    inside = np.pad(view.mask == label, 1).astype(float)  # padded, so that outlines close at the edge
    y = (np.arange(inside.shape[0]) - 0.5) * view.spacing[0]
    x = (np.arange(inside.shape[1]) - 0.5) * view.spacing[1]
    colour = colour_of(anatomy)
    shapes = contour_generator(x, y, inside, fill_type=FillType.OuterCode)
    for points, codes in zip(*shapes.filled(0.5, 1.5), strict=True):
        outline = Path(points, codes)  # with its holes
        axes.add_artist(PathPatch(outline, facecolor=(*colour, FILL), edgecolor=colour, linewidth=LINE))
    area = inside.sum() * view.spacing[0] * view.spacing[1]
    if area < SMALLEST_NAMED_MM2 or not _is_named(anatomy, shown):
        return
    disc, mask = anatomy.kind is Kind.DISC, view.mask == label
    row, column = np.argwhere(mask).mean(axis=0) if disc else inner_centre(mask, view.spacing)
    position = ((column + 0.5) * view.spacing[1], (row + 0.5) * view.spacing[0])
    style = {"fontsize": 7 if disc else 10, "fontweight": "bold", "ha": "center", "va": "center", **_halo(2.5)}
    axes.text(*position, anatomy.short_name, color="white", **style)


def inner_centre(mask: np.ndarray, spacing: Sequence[float]) -> tuple[float, float]:
    """Return (row, column) of the thickest part of a flat mask that is not empty: a vertebra's body, not its arch."""
    depth = distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1]
    deep = np.argwhere(depth >= 0.75 * depth.max())  # (points, 2)
    near = np.linalg.norm((deep - np.unravel_index(depth.argmax(), depth.shape)) * np.array(spacing), axis=1)
    row, column = deep[near <= 3 * depth.max()].mean(axis=0)
    return float(row), float(column)


def _halo(width: float) -> dict[str, Any]:
    from matplotlib.patheffects import withStroke

    return {"path_effects": [withStroke(linewidth=width, foreground="black", alpha=0.8)]}


def _write_above(figure: Figure, heading: str, remarks: Sequence[str]) -> None:
    height = figure.get_size_inches()[1]
    style: dict[str, Any] = {"ha": "center", "va": "top", "parse_math": False}  # a file may be called "$_$.mha"
    figure.text(0.5, 1 - 0.1 / height, heading, color=INK, fontsize=12, **style)
    for k, line in enumerate(remarks):
        figure.text(0.5, 1 - (HEADING + k * REMARK_LINE) / height, line, color=WARNING, fontsize=9, **style)


def _write_below(figure: Figure, legend: Sequence[Anatomy], lines: int) -> None:
    from matplotlib.patches import Patch

    height = figure.get_size_inches()[1]
    figure.text(0.5, 0.08 / height, FOOTER, color=FAINT, fontsize=8, ha="center", va="bottom")
    if not legend:
        return
    colours = [(colour_of(anatomy), anatomy.name) for anatomy in legend]
    handles = [Patch(facecolor=(*colour, 0.5), edgecolor=colour, label=name) for colour, name in colours]
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.24 / height),
        ncols=-(-len(legend) // lines),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handlelength=1.2,
        columnspacing=1.2,
        borderpad=0.2,
    )
