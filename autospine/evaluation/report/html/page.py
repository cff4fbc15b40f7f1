"""Puts the report together."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from statistics import median

from autospine.evaluation.cohort import CaseScore, Evaluation
from autospine.evaluation.notes import (
    EXPLANATION,
    FOOTER,
    extras,
    heading,
    official_notes,
    unscored,
    unscored_officially,
)
from autospine.evaluation.report import tables
from autospine.evaluation.report.html.agreement import agreements
from autospine.evaluation.report.html.levels import faults, level_counts
from autospine.evaluation.report.html.markup import (
    anchor,
    card,
    escape,
    figure_html,
    items,
    paragraph,
    section,
    table_html,
)
from autospine.evaluation.report.html.pictures import ERRORS, draw_case
from autospine.evaluation.report.html.plots import MOST_POINTS, bland_altman, box_plots, level_bars
from autospine.evaluation.report.html.style import CSS
from autospine.evaluation.report.tables import HEADLINES, TITLES, figure, share_text
from autospine.evaluation.study import MethodComparison

WORST = 4
MOST_FAULTS = 12
PLOTTED = ("dice", "asd_mm", "nsd")
DISTANCES = ("asd_mm", "hd95_mm")


def as_page(study: MethodComparison) -> str:
    """The whole report as one HTML file."""
    parts = [*_several(study)]
    for system in study.systems:
        parts += _system(system, study)
    titles = [(each, part) for each, part in parts if part]
    links = "".join(f'<a href="#{anchor(title)}">{escape(title)}</a>' for title, _ in titles)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(_title(study))}</title>",
            f"<style>{CSS}</style></head><body>",
            _header(study, links),
            "<main>",
            _headlines(study.first),
            _alerts(study),
            *(part for _, part in titles),
            section("How to read this", *_explanations(study)),
            "</main>",
            f"<footer>{escape(_made())} {escape(FOOTER)}</footer>",
            "</body></html>\n",
        ]
    )


def _title(study: MethodComparison) -> str:
    return "Evaluation: " + " against ".join(system.name for system in study.systems)


def _made() -> str:
    from autospine.core.version import __version__

    return f"Made by AutoSpine {__version__} (autospine_evaluate)."


def _header(study: MethodComparison, links: str) -> str:
    return (
        f"<header><h1>{escape(_title(study))}</h1>{paragraph(heading(study.first), 'soft')}"
        f'<div class="research">For research, not a medical device.</div><nav>{links}</nav></header>'
    )


def _headlines(evaluation: Evaluation) -> str:
    cards = []
    for metric in HEADLINES:
        interval = evaluation.case_interval(metric)
        values = list(evaluation.case_values(metric).values())
        more = (
            ""
            if isnan(interval.low)
            else (f"95 % interval {figure(metric, interval.low)} to {figure(metric, interval.high)}")
        )
        if values:
            more += f"{'; ' if more else ''}median {figure(metric, median(values))}"
        name = f"{TITLES[metric]} at {evaluation.tolerance_mm:g} mm" if metric == "nsd" else TITLES[metric]
        cards.append(card(name, figure(metric, interval.mean), more))
    for summary in evaluation.instances:
        kind = tables.PLURALS.get(summary.kind, summary.kind.value)
        found = f"{summary.detected} of {summary.references}; {summary.false_positives} invented"
        cards.append(card(f"{kind} found", share_text(summary.recall), found))
        if summary.levelled:
            shifted = f"{summary.shifted} of {summary.cases} cases shifted as a whole"
            cards.append(card(f"{kind}: level right", share_text(summary.identification_rate), shifted))
    name = paragraph("Means over cases, intervals over patients (bootstrap).", "note")
    return f'<div class="cards">{"".join(cards)}</div>{name}'


def _alerts(study: MethodComparison) -> str:
    """What is missing, superfluous or failed stands above everything else."""
    parts = []
    for system in study.systems:
        name = f" ({system.name})" if len(study.systems) > 1 else ""
        lists = (
            (f"No prediction{name}; everything there scores 0", list(system.missing)),
            (f"Not scored{name}", unscored(system)),
            (f"Not scored by SPIDER's rules, only by ours{name}", unscored_officially(system)),
            (f"Predictions without a reference{name}, not scored", extras(system)),
            (f"On one side only{name}", [str(one) for one in system.one_sided]),
        )
        for title, lines in lists:
            if lines:
                parts.append(f'<div class="alert"><b>{escape(title)}</b>{items(lines, "")}</div>')
    return "".join(parts)


def _several(study: MethodComparison) -> Iterator[tuple[str, str]]:
    if len(study.systems) == 1:
        return
    for table in tables.comparison_tables(study):
        yield table.title, section(table.title, table_html(table))
    if not any(system.cases for system in study.systems):
        return
    plots = [_box_figure(study.systems, metric) for metric in PLOTTED]
    yield "Structures, side by side", section("Structures, side by side", *plots)


def _system(evaluation: Evaluation, study: MethodComparison) -> Iterator[tuple[str, str]]:
    """Sections of one system by title; groups, pictures and cases of the first one only."""
    for title, parts in _sections(evaluation, len(study.systems) == 1, evaluation is study.first):
        whole = title if len(study.systems) == 1 else tables.titled(title, evaluation.name)
        yield whole, section(whole, *parts)


def _sections(evaluation: Evaluation, alone: bool, first: bool) -> Iterator[tuple[str, list[str]]]:
    if evaluation.official:
        official = table_html(tables.official_table(evaluation))
        reasons = items(official_notes(evaluation))
        yield "SPIDER's protocol", [official, "<h3>Why the columns differ</h3>", reasons]
    if not evaluation.cases:
        return
    plots = [_box_figure([evaluation], metric) for metric in PLOTTED] if alone else []
    yield "Structures", [table_html(tables.label_table(evaluation)), *plots]
    if evaluation.instances:
        yield "Instances and levels", [table_html(tables.instance_table(evaluation)), _levels(evaluation)]
    volumes = _volumes(evaluation)
    if volumes:
        yield "Volumes", [volumes]
    if not first:
        return
    for column in evaluation.strata:
        table = tables.strata_table(evaluation, column)
        yield table.title, [table_html(table)]
    if evaluation.files:
        yield "Worst cases", [_key(), *_pictures(evaluation)]
    yield "Cases", [table_html(tables.case_table(evaluation))]


def _box_figure(systems: list[Evaluation] | tuple[Evaluation, ...], metric: str) -> str:
    text = (
        "Boxes: median and quartiles; whiskers: up to 1.5 times their distance. Points: cases, "
        f"of more than {MOST_POINTS} only those beyond the whiskers."
    )
    if metric in DISTANCES:
        text += (
            " A triangle with a number at the upper edge: so many cases lie beyond. Where only one of the two masks "
            "shows the structure, the image's diagonal is its distance."
        )
    return figure_html(box_plots(systems, metric), f"{TITLES[metric]} per structure. {text}")


def _levels(evaluation: Evaluation) -> str:
    counts = level_counts(evaluation)
    if not counts:
        return ""
    text = (
        "Every instance of the references by its level: found (IoU of 0.5 or more) with the right level, found with "
        "another level, or missed."
    )
    return figure_html(level_bars(counts, evaluation.name), text)


def _volumes(evaluation: Evaluation) -> str:
    found = agreements(evaluation)
    if not found:
        return ""
    left_out = ", ".join(f"{each.left_out} {each.kind}" for each in found if each.left_out)
    text = (
        "Bland-Altman plot: each point is a structure of a case. Solid: mean difference; dashed: 95 % limits of "
        "agreement (1.96 standard deviations)."
    )
    if left_out:
        text += f" Not drawn, since only one of the masks shows them: {left_out}."
    return figure_html(bland_altman(found, evaluation.name), text)


def _key() -> str:
    chips = []
    for name, colour in ERRORS.items():
        red, green, blue = (round(part * 255) for part in colour)
        chips.append(f'<span class="key" style="background:rgb({red},{green},{blue})"></span>{escape(name)}')
    text = "The slice on which prediction and reference differ most. Differences:"
    return f'<p class="note wide">{text}{"".join(chips)}</p>'


def _pictures(evaluation: Evaluation) -> Iterator[str]:
    ordered = tables.worst_cases(evaluation, len(evaluation.cases))
    shown = [case for case in ordered if not case.missing and case.id in evaluation.files]
    for case in shown[:WORST]:
        yield _case(evaluation, case, case.id)
    if len(shown) > 2 * WORST:
        middle = shown[len(shown) // 2]
        yield _case(evaluation, middle, f"{middle.id} (the median case, to compare)")


def _case(evaluation: Evaluation, case: CaseScore, title: str) -> str:
    where, panels = draw_case(evaluation.files[case.id])
    figures = ", ".join(f"{TITLES[metric]} {figure(metric, case.mean(metric))}" for metric in HEADLINES)
    drawn = []
    for panel in panels:
        names = "".join(
            f'<span style="left:{100 * x:.1f}%;top:{100 * y:.1f}%">{escape(name)}</span>' for name, x, y in panel.names
        )
        picture = f'<img src="{panel.data}" alt="{escape(case.id)}, {panel.title}">'
        drawn.append(
            f'<figure class="panel"><div class="view">{picture}{names}</div>'
            f"<figcaption>{panel.title}</figcaption></figure>"
        )
    text = f"{figures}; {where}" if where else figures
    return (
        f'<div class="case"><h3>{escape(title)}</h3>{paragraph(text, "soft")}'
        f'<div class="panels">{"".join(drawn)}{_wrong(case)}</div></div>'
    )


def _wrong(case: CaseScore) -> str:
    """The gravest faults of a case, in words."""
    lines = list(faults(case))
    more = [f"and {len(lines) - MOST_FAULTS} more"] if len(lines) > MOST_FAULTS else []
    if not lines:
        return ""
    return f'<div class="wrong"><b>What is wrong</b>{items([*lines[:MOST_FAULTS], *more])}</div>'


def _explanations(study: MethodComparison) -> Iterator[str]:
    yield paragraph(EXPLANATION)
    terms = {
        "Dice, IoU": "overlap in voxels, 0 to 1",
        f"NSD at {study.first.tolerance_mm:g} mm": "share of both surfaces that lie within this distance of each other",
        "ASD, HD95": "average and 95th percentile of the distances between the surfaces, in mm, by area",
        "found, invented": "instances matched one to one with an IoU of 0.5 or more; predictions without a match",
        "SQ, RQ, PQ": "mean IoU of what is found; F1 of finding; their product (panoptic quality)",
        "level right": "reference instances whose predicted level is right, with the middle within 20 mm",
        "interval": "95 %, from 10 000 resamples of the patients, each with all of their series",
    }
    rows = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in terms.items())
    yield f"<dl>{rows}</dl>"
