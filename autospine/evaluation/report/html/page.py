"""Puts the report together; `templates/page.html` says how it is laid out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from statistics import median

from jinja2 import Environment, PackageLoader, StrictUndefined

from autospine.core.tables import DISCLAIMER, Table, counted
from autospine.core.version import __version__
from autospine.evaluation.case import CaseScore
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report import tables
from autospine.evaluation.report.html.levels import errors, level_counts
from autospine.evaluation.report.html.pictures import ERRORS, Panel, draw_case
from autospine.evaluation.report.html.plots import MOST_POINTS, agreements, bland_altman, box_plots, level_bars
from autospine.evaluation.report.tables import EXPLANATION, FOOTER, HEADLINES, TITLES, figure, share_text

WORST = 4
MOST_ERRORS = 12
PLOTTED = ("dice", "asd_mm", "nsd")
DISTANCES = ("asd_mm", "hd95_mm")


@dataclass(frozen=True)
class Plot:
    """An SVG with its caption."""

    svg: str
    caption: str


@dataclass(frozen=True)
class CasePictures:
    """Pictures of one case: its id, a title, its figures, the panels, what is wrong (a line each)."""

    id: str
    title: str
    text: str
    panels: Sequence[Panel]
    errors: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    title: str  # the heading
    table: Table | None = None  # stands first
    reasons: tuple[str, ...] = ()  # why the columns of the table differ
    plots: tuple[Plot, ...] = ()  # below
    cases: tuple[CasePictures, ...] = ()  # pictures of the worst cases

    @property
    def anchor(self) -> str:
        """Return what a link to the section says: "Structures (unet)" gives "structures-unet"."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def as_page(comparison: MethodComparison) -> str:
    """Return the whole report as one HTML file."""
    environment = Environment(
        loader=PackageLoader("autospine.evaluation.report.html"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html").render(
        title="Evaluation: " + " against ".join(method.name for method in comparison.methods),
        heading=tables.heading(comparison.first),
        disclaimer=DISCLAIMER,
        cards=list(_cards(comparison.first)),
        alerts=list(_alerts(comparison)),
        sections=[*_compared(comparison), *_all_sections(comparison)],
        errors={name: _rgb(colour) for name, colour in ERRORS.items()},
        explanation=EXPLANATION,
        terms=_terms(comparison.first),
        version=__version__,
        footer=FOOTER,
    )


def _rgb(colour: Sequence[float]) -> str:
    return f"rgb({','.join(str(round(channel * 255)) for channel in colour)})"


def _cards(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    """Return the headline figures: what they are, their values, more about them."""
    for metric in HEADLINES:
        interval = evaluation.case_interval(metric)
        values = list(evaluation.case_values(metric).values())
        more = []
        if not isnan(interval.low):
            more.append(f"95 % interval {figure(metric, interval.low)} to {figure(metric, interval.high)}")
        if values:
            more.append(f"median {figure(metric, median(values))}")
        name = f"{TITLES[metric]} at {evaluation.tolerance_mm:g} mm" if metric == "nsd" else TITLES[metric]
        yield name, figure(metric, interval.mean), "; ".join(more)
    for summary in evaluation.instances:
        kind = tables.plural(summary.kind)
        wrong = counted(summary.false_positives, "false positive")
        yield f"{kind} detected", share_text(summary.recall), f"{summary.detected} of {summary.references}; {wrong}"
        if summary.levelled:
            shifted = f"{summary.shifted} of {summary.cases} cases shifted as a whole"
            yield f"{kind}: level right", share_text(summary.identification_rate), shifted


def _alerts(comparison: MethodComparison) -> Iterator[tuple[str, list[str]]]:
    """Return what is missing, superfluous or failed; it stands above everything else."""
    for method in comparison.methods:
        name = tables.titled("", method, comparison)
        alerts = (
            (f"No prediction{name}; everything there scores 0", list(method.missing)),
            (f"Not scored{name}", tables.unscored(method)),
            (f"Not scored by SPIDER's rules, only by AutoSpine's{name}", tables.unscored_by_challenge(method)),
            (f"Predictions without a reference{name}, not scored", list(method.extra)),
            (f"On one side only{name}", [str(label) for label in method.unmatched_labels]),
            (f"{tables.RESAMPLED}{name}", list(method.resampled)),
            *((f"{title}{name}", lines) for title, lines in tables.flag_lines(method)),
            *((f"{title}{name}", lines) for title, lines in tables.above_annotation_lines(method)),
        )
        yield from ((title, lines) for title, lines in alerts if lines)


def _compared(comparison: MethodComparison) -> Iterator[Section]:
    if comparison.several:
        for table in tables.comparison_tables(comparison):
            yield Section(table.title, table)
        if any(method.cases for method in comparison.methods):
            plots = tuple(_box_plots(comparison.methods, metric) for metric in PLOTTED)
            yield Section("Structures, side by side", plots=plots)


def _all_sections(comparison: MethodComparison) -> Iterator[Section]:
    """Return the sections of every method; groups, pictures and cases of the first one only."""
    for method in comparison.methods:
        for section in _sections(method, comparison):
            yield replace(section, title=tables.titled(section.title, method, comparison))


def _sections(method: Evaluation, comparison: MethodComparison) -> Iterator[Section]:
    if method.challenge:
        table = tables.challenge_table(method)
        yield Section(table.title, table, tables.challenge_notes(method))
    if not method.cases:
        return
    boxes = () if comparison.several else tuple(_box_plots([method], metric) for metric in PLOTTED)
    yield Section("Structures", tables.label_table(method), plots=boxes)
    if method.instances:
        yield Section("Instances and levels", tables.instance_table(method), plots=tuple(_level_plots(method)))
    if method.calibration:
        yield Section("Calibration", tables.calibration_table(method))
    volumes = tuple(_volume_plots(method))
    if volumes:
        yield Section("Volumes", plots=volumes)
    if method is comparison.first:
        for column in method.strata:
            table = tables.strata_table(method, column)
            yield Section(table.title, table)
        if method.files:
            yield Section("Worst cases", cases=tuple(_pictures(method)))
        yield Section("Cases", tables.case_table(method))


def _box_plots(methods: Sequence[Evaluation], metric: str) -> Plot:
    text = (
        f"{TITLES[metric]} per structure. Boxes: median and quartiles; whiskers: up to 1.5 times their distance. "
        f"Points: cases, of more than {MOST_POINTS} only those beyond the whiskers."
    )
    if metric in DISTANCES:
        text += (
            " A triangle with a number at the upper edge: so many cases lie beyond. Where only one of the two masks "
            "shows the structure, the image's diagonal is its distance."
        )
    return Plot(box_plots(methods, metric), text)


def _level_plots(evaluation: Evaluation) -> Iterator[Plot]:
    counts = level_counts(evaluation)
    if counts:
        text = (
            "Every instance of the references by its level: detected (IoU of 0.5 or more) with the right level, "
            "detected with another level, or not detected (false negative)."
        )
        yield Plot(level_bars(counts, evaluation.name), text)


def _volume_plots(evaluation: Evaluation) -> Iterator[Plot]:
    by_kind = agreements(evaluation)
    if not by_kind:
        return
    text = (
        "Bland-Altman plot: each point is a structure of a case. Solid: mean difference; dashed: 95 % limits of "
        "agreement (1.96 standard deviations)."
    )
    left_out = ", ".join(f"{counts.left_out} {counts.kind}" for counts in by_kind if counts.left_out)
    if left_out:
        text += f" Not drawn, since only one of the masks shows them: {left_out}."
    yield Plot(bland_altman(by_kind, evaluation.name), text)


def _pictures(evaluation: Evaluation) -> Iterator[CasePictures]:
    ordered = tables.worst_cases(evaluation, len(evaluation.cases))
    shown = [case for case in ordered if not case.missing and case.id in evaluation.files]
    for case in shown[:WORST]:
        yield _case_pictures(evaluation, case, case.id)
    if len(shown) > 2 * WORST:
        median = shown[len(shown) // 2]
        yield _case_pictures(evaluation, median, f"{median.id} (the median case, to compare)")


def _case_pictures(evaluation: Evaluation, case: CaseScore, title: str) -> CasePictures:
    which_slice, panels = draw_case(evaluation.files[case.id])
    text = ", ".join(f"{TITLES[metric]} {figure(metric, case.mean(metric))}" for metric in HEADLINES)
    lines = list(errors(case))
    more = [f"and {len(lines) - MOST_ERRORS} more"] if len(lines) > MOST_ERRORS else []
    return CasePictures(
        case.id, title, f"{text}; {which_slice}" if which_slice else text, panels, [*lines[:MOST_ERRORS], *more]
    )


def _terms(evaluation: Evaluation) -> Mapping[str, str]:
    return {
        "Dice, IoU": "overlap in voxels, 0 to 1",
        f"NSD at {evaluation.tolerance_mm:g} mm": "share of both surfaces that lie within this distance of each other",
        "ASD, HD95": "average and 95th percentile of the distances between the surfaces, in mm, by area",
        "detected, FN, FP": "instances matched one to one with an IoU of 0.5 or more; references without a match "
        "(false negatives); predictions without one (false positives)",
        "SQ, RQ, PQ": "mean IoU of what is detected; F1 of detection; their product (panoptic quality)",
        "level right": "reference instances whose predicted level is right, with the centroid within 20 mm",
        "interval": "95 %, from 10 000 resamples of the patients, each with all of their series",
    }
