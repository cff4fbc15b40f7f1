"""The plots of a report, as SVG texts that are the same for the same figures."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.report.html.agreement import Agreement
from autospine.evaluation.report.html.levels import LevelCounts
from autospine.evaluation.report.tables import TITLES
from autospine.evaluation.structures import Presence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SYSTEMS = ("#2c6fb5", "#d9772b", "#3f9152", "#8a5bb5", "#b5493f", "#5f6b7a")
OUTCOMES = {"right": "#3f9152", "wrong level": "#e0b13a", "missed": "#b5493f"}
INK, FAINT, GRID = "#1d2430", "#5b6675", "#e6eaee"
WIDTH = 10.0  # inches
MOST_POINTS = 60  # of a structure; of more cases only those beyond the whiskers are drawn
MOST_SHAPES = 1500  # of a plot; more of them become one picture
LETTERS = 110  # that fit below a plot side by side
UPWARDS = ("dice", "nsd")  # share an axis from 0 to 1
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters: light, and found by the browser's search
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#b8c0ca",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "grid.color": GRID,
}
IDS = re.compile(r' id="(?![mph][0-9a-f]{8,})[^"]*"')


@contextmanager
def _drawing(name: str, height: float) -> Iterator[tuple[Figure, list[str]]]:
    """Gives a figure and a list for its SVG, which is there when the figure is done."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        done: list[str] = []
        yield figure, done
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True, dpi=200)
        done.append(_embedded(text.getvalue(), name))


def _embedded(svg: str, name: str) -> str:
    """Without a prologue, a fixed size, and names that two plots would share."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return IDS.sub("", svg).replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1)


def box_plots(systems: Sequence[Evaluation], metric: str) -> str:
    """One box per structure and system: median, quartiles, whiskers to 1.5 times the quartiles' distance.

    Every case is a point, or, of many, every case beyond the whiskers; what leaves the axis is counted at its end.
    """
    rows = {(label.union, label.anatomy): label.name for system in systems for label in system.labels}
    names = [(rows[row], row[1], row[0]) for row in sorted(rows)]
    with _drawing(f"{metric} per structure", 3.0) as (figure, done):
        axes = figure.subplots()
        values = [[_values(system, row, metric) for row in names] for system in systems]
        top = _top(metric, values)
        width = 0.75 / len(systems)
        for k, (system, columns) in enumerate(zip(systems, values, strict=True)):
            places = [place + (k - (len(systems) - 1) / 2) * width for place in range(len(names))]
            _boxes(axes, places, columns, width, SYSTEMS[k % len(SYSTEMS)], top)
            axes.plot([], [], "s", color=SYSTEMS[k % len(SYSTEMS)], label=system.name)
        _name_columns(axes, [name if anatomy.level is None else anatomy.short_name for name, anatomy, _ in names])
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(-0.02 if metric in UPWARDS else -0.02 * top, top * 1.04)
        axes.set_ylabel(TITLES[metric])
        axes.grid(axis="y")
        if len(systems) > 1:
            axes.legend(frameon=False, ncols=len(systems), loc="lower left", bbox_to_anchor=(0, 1))
    return done[0]


def _name_columns(axes: Axes, names: Sequence[str]) -> None:
    """Level where there is room, else slanting."""
    if sum(len(name) + 1 for name in names) <= LETTERS:
        axes.set_xticks(range(len(names)), names)
    else:
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")


def _values(system: Evaluation, row: tuple[str, Any, bool], metric: str) -> list[tuple[float, bool]]:
    """Figures of one structure, and whether both masks show it."""
    found = []
    for case in system.cases:
        for score in case.scores:
            if (score.anatomy, score.union) == row[1:] and score.presence is not Presence.NEITHER:
                found.append((getattr(score, metric), score.presence is Presence.BOTH))
    return found


def _top(metric: str, values: Sequence[Sequence[Sequence[tuple[float, bool]]]]) -> float:
    """The end of the axis: 1 for shares; for distances so far up that one in ten at most lies beyond."""
    if metric in UPWARDS:
        return 1.0
    measured = sorted(value for columns in values for column in columns for value, both in column if both)
    if not measured:
        return 1.0
    return 1.25 * measured[int(0.9 * (len(measured) - 1) + 0.999)] or 1.0


def _boxes(
    axes: Axes,
    places: Sequence[float],
    columns: Sequence[Sequence[tuple[float, bool]]],
    width: float,
    colour: str,
    top: float,
) -> None:
    for place, column in zip(places, columns, strict=True):
        shown = [value for value, _ in column]
        if len(shown) >= 3:
            axes.boxplot(
                [shown],
                positions=[place],
                widths=width * 0.8,
                showfliers=False,
                patch_artist=True,
                manage_ticks=False,
                boxprops={"facecolor": colour, "alpha": 0.22, "edgecolor": colour},
                medianprops={"color": colour, "linewidth": 2},
                whiskerprops={"color": colour},
                capprops={"color": colour},
            )
        inside = [value for value, _ in column if value <= top]
        outside = len(column) - len(inside)
        if len(column) > MOST_POINTS:
            inside = _beyond_whiskers(inside, shown)
        if inside:
            xs = _spread(place, len(inside), width * 0.5)
            axes.plot(xs, inside, "o", ms=3, color=colour, alpha=0.75, mew=0)
        if outside:
            axes.plot([place], [top * 1.015], "^", ms=6, color=colour, clip_on=False)
            axes.annotate(str(outside), (place, top * 1.015), (0, 5), textcoords="offset points",
                          ha="center", fontsize=8, color=colour)  # fmt: skip


def _beyond_whiskers(values: Sequence[float], column: Sequence[float]) -> list[float]:
    import numpy as np

    low, high = np.quantile(column, [0.25, 0.75])
    reach = 1.5 * (high - low)
    return [value for value in values if not low - reach <= value <= high + reach]


def _spread(place: float, count: int, width: float) -> list[float]:
    """Places side by side, always the same, so that points do not hide one another."""
    golden = 0.618033988749895
    return [place + width * ((k * golden) % 1 - 0.5) for k in range(count)]


def level_bars(counts: Mapping[str, Sequence[LevelCounts]], system: str) -> str:
    """What became of each instance of the reference, level by level; a panel per kind."""
    most = max(len(levels) for levels in counts.values())
    with _drawing(f"levels, {system}", 1.1 + 0.34 * most) as (figure, done):
        panels = figure.subplots(1, len(counts), squeeze=False)[0]
        for axes, (kind, levels) in zip(panels, counts.items(), strict=True):
            names = [each.name for each in levels]
            left = [0] * len(levels)
            for outcome, colour in OUTCOMES.items():
                widths = [each.counts[outcome] for each in levels]
                axes.barh(range(len(levels)), widths, left=left, color=colour, label=outcome, height=0.72)
                left = [a + b for a, b in zip(left, widths, strict=True)]
            axes.set_yticks(range(len(levels)), names)
            axes.set_xlabel(f"{kind} in the references")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="x")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=3, loc="outside upper left")
    return done[0]


def bland_altman(agreements: Sequence[Agreement], system: str) -> str:
    """Difference of volumes against their mean, a panel per kind, with bias and limits of agreement."""
    with _drawing(f"volumes, {system}", 3.6) as (figure, done):
        panels = figure.subplots(1, len(agreements), squeeze=False)[0]
        for k, (axes, each) in enumerate(zip(panels, agreements, strict=True)):
            axes.axhline(0, color="#9aa4b0", lw=0.8)
            (points,) = axes.plot(each.means, each.differences, "o", ms=3.5, color=SYSTEMS[0], alpha=0.65, mew=0)
            points.set_rasterized(len(each.means) > MOST_SHAPES)
            axes.axhline(each.bias, color=SYSTEMS[1], lw=1.5)
            for limit in each.limits:
                axes.axhline(limit, color=SYSTEMS[1], lw=1.2, ls="--")
            for value in (each.bias, *each.limits):
                axes.annotate(f"{value:+.2f}", (1, value), (-2, 3), xycoords=("axes fraction", "data"),
                              textcoords="offset points", ha="right", fontsize=8, color="#a3521a")  # fmt: skip
            axes.set_title(f"{each.kind} (n = {len(each.means)})", fontsize=10)
            axes.set_xlabel("mean of both volumes, ml")
            axes.margins(x=0.12, y=0.15)
            if k == 0:
                axes.set_ylabel("prediction minus reference, ml")
            axes.grid()
    return done[0]
