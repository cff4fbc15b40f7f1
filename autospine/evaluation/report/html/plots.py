"""The plots of a report, as SVG texts that are the same for the same figures."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from autospine.evaluation.cohort import Evaluation, LabelSummary
from autospine.evaluation.report.html.levels import FALSE_NEGATIVE, RIGHT, WRONG_LEVEL, LevelCounts
from autospine.evaluation.report.tables import TITLES, plural
from autospine.evaluation.structures import LabelScore, Presence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHOD_COLOURS = ("#2c6fb5", "#d9772b", "#3f9152", "#8a5bb5", "#b5493f", "#5f6b7a")
OUTCOME_COLOURS = {RIGHT: "#3f9152", WRONG_LEVEL: "#e0b13a", FALSE_NEGATIVE: "#b5493f"}
INK, FAINT, GRID = "#1d2430", "#5b6675", "#e6eaee"
WIDTH = 10.0  # inches
MOST_POINTS = 60  # of a structure; of more cases only those beyond the whiskers are drawn
MOST_SHAPES = 1500  # of a plot; more of them become one picture
LETTERS = 130  # that fit below a plot side by side
UPWARDS = ("dice", "nsd")  # share an axis from 0 to 1
LIMITS = 1.96  # standard deviations: 95 % of a normal distribution
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
    """Give a figure and a list for its SVG, which is there when the figure is done."""
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
    """Return the SVG without a prologue, a fixed size, and names that two plots would share."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return IDS.sub("", svg).replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1)


def box_plots(methods: Sequence[Evaluation], metric: str) -> str:
    """Draw one box per structure and method: median, quartiles, whiskers to 1.5 times the quartiles' distance.

    Every case is a point, or, of many, every case beyond the whiskers; what leaves the axis is counted at its end.
    """
    labels = {(label.all_levels, label.anatomy): label for method in methods for label in method.labels}
    structures = [labels[key] for key in sorted(labels)]
    with _drawing(f"{metric} per structure", 3.0) as (figure, done):
        axes = figure.subplots()
        values = [[_values(method, label, metric) for label in structures] for method in methods]
        top = _top(metric, values)
        width = 0.75 / len(methods)
        for k, (method, columns) in enumerate(zip(methods, values, strict=True)):
            centres = [index + (k - (len(methods) - 1) / 2) * width for index in range(len(structures))]
            colour = METHOD_COLOURS[k % len(METHOD_COLOURS)]
            _boxes(axes, centres, columns, width, colour, top)
            axes.plot([], [], "s", color=colour, label=method.name)
        _name_columns(
            axes, [label.name if label.anatomy.level is None else label.anatomy.short_name for label in structures]
        )
        axes.set_xlim(-0.6, len(structures) - 0.4)
        axes.set_ylim(-0.02 if metric in UPWARDS else -0.02 * top, top * 1.04)
        axes.set_ylabel(TITLES[metric])
        axes.grid(axis="y")
        if len(methods) > 1:
            axes.legend(frameon=False, ncols=len(methods), loc="lower left", bbox_to_anchor=(0, 1))
    return done[0]


def _name_columns(axes: Axes, names: Sequence[str]) -> None:
    """Write names level, a word below the other, where neighbours have room, else slanting."""
    words = [name.split() for name in names]
    widths = [max(map(len, name), default=0) for name in words]
    if all((left + right) / 2 + 1 <= LETTERS / len(names) for left, right in pairwise(widths)):
        axes.set_xticks(range(len(names)), ["\n".join(name) for name in words])
    else:
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")


def _values(method: Evaluation, label: LabelSummary, metric: str) -> list[tuple[float, bool]]:
    """Return the figures of one structure, and whether both masks show it."""
    return [
        (getattr(score, metric), score.presence is Presence.BOTH)
        for case in method.cases
        for score in case.scores
        if (score.anatomy, score.all_levels) == (label.anatomy, label.all_levels)
        and score.presence is not Presence.NEITHER
    ]


def _top(metric: str, values: Sequence[Sequence[Sequence[tuple[float, bool]]]]) -> float:
    """Return the end of the axis: 1 for shares; for distances so far up that one in ten at most lies beyond."""
    if metric in UPWARDS:
        return 1.0
    measured = sorted(value for columns in values for column in columns for value, both in column if both)
    if not measured:
        return 1.0
    return 1.25 * measured[int(0.9 * (len(measured) - 1) + 0.999)] or 1.0


def _boxes(
    axes: Axes,
    centres: Sequence[float],
    columns: Sequence[Sequence[tuple[float, bool]]],
    width: float,
    colour: str,
    top: float,
) -> None:
    for centre, column in zip(centres, columns, strict=True):
        shown = [value for value, _ in column]
        if len(shown) >= 3:
            axes.boxplot(
                [shown],
                positions=[centre],
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
            xs = _spread(centre, len(inside), width * 0.5)
            axes.plot(xs, inside, "o", ms=3, color=colour, alpha=0.75, mew=0)
        if outside:
            axes.plot([centre], [top * 1.015], "^", ms=6, color=colour, clip_on=False)
            axes.annotate(str(outside), (centre, top * 1.015), (0, 5), textcoords="offset points",
                          ha="center", fontsize=8, color=colour)  # fmt: skip


def _beyond_whiskers(values: Sequence[float], column: Sequence[float]) -> list[float]:
    low, high = np.quantile(column, [0.25, 0.75])
    whisker = 1.5 * (high - low)
    return [value for value in values if not low - whisker <= value <= high + whisker]


def _spread(centre: float, count: int, width: float) -> list[float]:
    """Return positions side by side, always the same, so that points do not hide one another."""
    golden = 0.618033988749895
    return [centre + width * ((k * golden) % 1 - 0.5) for k in range(count)]


def level_bars(counts: Mapping[str, LevelCounts], method: str) -> str:
    """Draw what became of each instance of the reference, level by level; a panel per kind."""
    most = max(len(levels) for levels in counts.values())
    with _drawing(f"levels, {method}", 1.1 + 0.34 * most) as (figure, done):
        panels = figure.subplots(1, len(counts), squeeze=False)[0]
        for axes, (kind, levels) in zip(panels, counts.items(), strict=True):
            left = [0] * len(levels)
            for outcome, colour in OUTCOME_COLOURS.items():
                widths = [outcomes[outcome] for outcomes in levels.values()]
                axes.barh(range(len(levels)), widths, left=left, color=colour, label=outcome, height=0.72)
                left = [a + b for a, b in zip(left, widths, strict=True)]
            axes.set_yticks(range(len(levels)), list(levels))
            axes.set_xlabel(f"{kind} in the references")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="x")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=3, loc="outside upper left")
    return done[0]


@dataclass(frozen=True)
class Agreement:
    """Volumes of one kind of structure in both masks.

    Bland and Altman 1986, "Statistical methods for assessing agreement".
    """

    kind: str  # for people
    means: tuple[float, ...]  # of prediction and reference, ml
    differences: tuple[float, ...]  # prediction minus reference, ml
    left_out: int  # structures that only one mask shows

    @property
    def bias(self) -> float:
        """Return the mean difference, ml."""
        return mean(self.differences)

    @property
    def limits(self) -> tuple[float, float]:
        """Return the bias minus and plus 1.96 standard deviations of the differences, ml."""
        spread = LIMITS * stdev(self.differences)
        return self.bias - spread, self.bias + spread


def agreements(evaluation: Evaluation, most: int = 4) -> list[Agreement]:
    """Return the `most` frequent kinds of which both masks show at least two structures, the most frequent first."""
    by_kind: dict[str, list[LabelScore]] = {}
    for case in evaluation.cases:
        for score in case.scores:
            if not score.all_levels and score.presence is not Presence.NEITHER:
                by_kind.setdefault(plural(score.anatomy.kind), []).append(score)
    known = [_agreement(kind, scores) for kind, scores in by_kind.items()]
    return sorted(
        (agreement for agreement in known if len(agreement.means) > 1), key=lambda agreement: -len(agreement.means)
    )[:most]


def _agreement(kind: str, scores: Sequence[LabelScore]) -> Agreement:
    both = [score for score in scores if score.presence is Presence.BOTH]
    return Agreement(
        kind,
        tuple((score.predicted_volume_ml + score.volume_ml) / 2 for score in both),
        tuple(score.volume_error_ml for score in both),
        len(scores) - len(both),
    )


def bland_altman(by_kind: Sequence[Agreement], method: str) -> str:
    """Draw the difference of volumes against their mean, a panel per kind, with bias and limits of agreement."""
    with _drawing(f"volumes, {method}", 3.6) as (figure, done):
        panels = figure.subplots(1, len(by_kind), squeeze=False)[0]
        for k, (axes, agreement) in enumerate(zip(panels, by_kind, strict=True)):
            axes.axhline(0, color="#9aa4b0", lw=0.8)
            (points,) = axes.plot(
                agreement.means, agreement.differences, "o", ms=3.5, color=METHOD_COLOURS[0], alpha=0.65, mew=0
            )
            points.set_rasterized(len(agreement.means) > MOST_SHAPES)
            axes.axhline(agreement.bias, color=METHOD_COLOURS[1], lw=1.5)
            for limit in agreement.limits:
                axes.axhline(limit, color=METHOD_COLOURS[1], lw=1.2, ls="--")
            for value in (agreement.bias, *agreement.limits):
                axes.annotate(f"{value:+.2f}", (1, value), (-2, 3), xycoords=("axes fraction", "data"),
                              textcoords="offset points", ha="right", fontsize=8, color="#a3521a")  # fmt: skip
            axes.set_title(f"{agreement.kind} (n = {len(agreement.means)})", fontsize=10)
            axes.set_xlabel("mean of both volumes, ml")
            axes.margins(x=0.12, y=0.15)
            if k == 0:
                axes.set_ylabel("prediction minus reference, ml")
            axes.grid()
    return done[0]
