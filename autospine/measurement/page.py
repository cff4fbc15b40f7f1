"""The page of a cohort: distributions per level, outliers with pictures, pairs, gradings."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from autospine.core.tables import DISCLAIMER, Table
from autospine.core.version import __version__
from autospine.measurement.cohort import Outlier, find_outliers, groups
from autospine.measurement.figures import DISC, VERTEBRA
from autospine.measurement.tables import Row

PLOTTED = (
    "middle_height_mm", "wedge_ratio", "segmental_lordosis_deg", "disc_dabbs_mm", "disc_farfan_index",
    "disc_signal_csf", "slip_mm", "disc_canal_diameter_mm",
)  # fmt: skip
COLOURS = ("#1f5fa8", "#d9822b", "#3c8d5a", "#a8487f", "#6b6fb5", "#8a6d3b")
MOST_OUTLIERS, MOST_PICTURES = 30, 6
TEXTS = {definition.name: definition.text for definition in (*VERTEBRA, *DISC)}


def as_page(
    rows: Sequence[Row],
    overview: Mapping[str, Mapping[str, str]],
    by: Sequence[str],
    tables: Sequence[Table],
    pictures: Path | None,
) -> str:
    """Return the page as one HTML file.

    Args:
        rows: The cohort's levels.
        overview: Rows of overview.csv by case id.
        by: Its columns that are compared; none: all cases together.
        tables: Shown as they are: pairs, gradings.
        pictures: Folder of the cases' PNGs, for the outliers; None shows none.
    """
    outliers = find_outliers(rows)
    plots = []
    for column in by or (None,):
        for name in PLOTTED:
            svg = level_plot(groups(rows, overview, column), name)
            if svg:
                plots.append((svg, f"{name}: {TEXTS[name]}" + (f", by {column}" if column else "")))
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("autospine.measurement"), PackageLoader("autospine.evaluation.report.html")]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("measure.html").render(
        cases=len({row.keys["id"] for row in rows}),
        levels=len(rows),
        disclaimer=DISCLAIMER,
        version=__version__,
        plots=plots,
        outliers=outliers[:MOST_OUTLIERS],
        pictures=_pictures(outliers, pictures),
        tables=tables,
    )


def _pictures(outliers: Sequence[Outlier], folder: Path | None) -> list[tuple[str, str]]:
    """Return the pictures of the cases that stand out most, as addresses that a page can hold."""
    ids = list(dict.fromkeys(outlier.id for outlier in outliers))[:MOST_PICTURES]
    files = [(id_, folder / f"{id_}.png") for id_ in ids] if folder is not None else []
    return [
        (id_, "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii"))
        for id_, path in files
        if path.is_file()
    ]


def level_plot(by_group: Mapping[str, Sequence[Row]], name: str) -> str:
    """Return an SVG of a figure's distributions per level, from the lowest up, one box per group; "" without values."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    order = sorted({(int(r.keys["ordinal"]), r.keys["disc" if "disc" in name or "slip" in name else "name"])
                    for rows in by_group.values() for r in rows if name in r.values})  # fmt: skip
    if not order:
        return ""
    figure = Figure(figsize=(8.2, 2.7))
    axes = figure.add_subplot()
    width = 0.8 / len(by_group)
    for k, (group, rows) in enumerate(by_group.items()):
        colour = COLOURS[k % len(COLOURS)]
        values = [[r.values[name] for r in rows if int(r.keys["ordinal"]) == n and name in r.values] for n, _ in order]
        positions = [i + (k + 0.5) * width - 0.4 for i in range(len(order))]
        boxes = axes.boxplot(values, positions=positions, widths=0.8 * width, patch_artist=True, manage_ticks=False,
                             flierprops={"marker": ".", "markersize": 3, "markeredgecolor": colour})  # fmt: skip
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.35, edgecolor=colour)
        axes.plot([], [], color=colour, linewidth=6, alpha=0.5, label=group)
    axes.set_xticks(range(len(order)), [label for _, label in order], fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    if len(by_group) > 1:
        axes.legend(fontsize=8, frameon=False, ncols=len(by_group), loc="upper left", bbox_to_anchor=(0, 1.16))
    stored = io.BytesIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(stored, format="svg", metadata={"Date": None}, bbox_inches="tight")
    text = stored.getvalue().decode("utf-8")
    return text[text.index("<svg") :]
