r"""Measure what training has not seen: leave-one-source-out, everything pooled with patient folds, or a given model.

    python benchmarks/unseen.py DATA WORK --minutes 15 [--leave t2 ffe] [--pooled]
    python benchmarks/unseen.py DATA WORK --model box [--cases held_out.txt]
    python benchmarks/unseen.py DATA WORK --model box --sources --slices DATA/spider/slices \
        --overview DATA/spider/overview.csv --without DATA/spider_t2space

Every line trains with AutoSpine's own commands, never tunes, and predicts with what a user has. What counts as silently
wrong stands at the head of unseen_cases.py, what counts as a right slice at that of unseen_slices.py. Figures that are
done stay in WORK, and a run that was killed goes on there; the tables hold all lines of WORK. docs/unseen.md has more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import machine
from unseen_cases import (
    CaseFigure,
    cases_csv,
    looked_at_lines,
    summarise,
    summary_csv,
    summary_table,
)
from unseen_runs import Fold, Source, load_source, plan, predict, tested, train

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json, write_text
from autospine.core.tables import markdown_page
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import load_dataset

if TYPE_CHECKING:
    from autospine.inference.model import ModelCard

SOURCES = ("spider_t2space", "t2", "mixed", "ffe")
FIGURES, SLICES, SETTINGS = "figures.json", "slices.json", "settings.json"


def main() -> None:
    options = make_options()
    work = options.work.resolve()
    labels = dict(text.split("=", 1) for text in options.labels)
    sources = {name: load_source(options.data / name, work, labels.get(name)) for name in options.sources}
    if options.model:
        if sources:
            measure_model(sources, options, work)
        if options.slices:
            measure_slices(options, work)
    else:
        leave = options.sources if options.leave is None else options.leave
        for name in leave:
            measure_left_out(sources, name, options, work)
        if options.pooled:
            measure_pooled(sources, options, work)
    print(write_tables(work, options.looked_at))


def make_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    parser.add_argument("work", type=Path, help="folder for everything that is made, and for the tables")
    parser.add_argument("--sources", nargs="*", default=list(SOURCES), metavar="NAME", help="default: %(default)s")
    parser.add_argument("--labels", nargs="+", default=[], metavar="NAME=SCHEME", help="what a set's masks mean")
    parser.add_argument("--leave", nargs="*", metavar="NAME", help="sources to leave out in turn (default: each)")
    parser.add_argument("--pooled", action="store_true", help="train on all with patient folds, too")
    parser.add_argument("--minutes", type=float, default=15, help="of every training (default: 15)")
    parser.add_argument("--epochs", type=int, help="of every training, instead of minutes")
    parser.add_argument("--recipe", default="robust", help="of unet (default: robust)")
    parser.add_argument("--folds", type=int, default=5, help="of --pooled (default: 5)")
    parser.add_argument("--phantoms", type=int, default=40, help="made and trained on, 0 for none (default: 40)")
    parser.add_argument("--size", choices=("small", "full"), default="full", help="of phantoms (default: full)")
    parser.add_argument("--seed", type=int, default=0, help="of phantoms and trainings (default: 0)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", help="measure this model, and train none")
    parser.add_argument("--line", help="what the table calls the model (default: by its weights)")
    parser.add_argument("--cases", type=Path, help="text file of the ids to predict, SOURCE-ID in each line")
    parser.add_argument("--slices", type=Path, help="folder of mid-sagittal PNG slices named like series")
    parser.add_argument("--overview", type=Path, help="overview.csv of those series")
    parser.add_argument("--without", nargs="+", default=[], metavar="ID", help="patients, or data sets of patients")
    parser.add_argument("--looked-at", type=Path, help="text file of the scans whose figures were seen before")
    options = parser.parse_args()
    if options.slices and not (options.model and options.overview):
        parser.error("--slices needs --model and --overview")
    unknown = sorted(set(options.leave or []) - set(options.sources))
    if unknown:
        parser.error(f"--leave {unknown[0]} is none of the sources {', '.join(options.sources)}")
    return options


# Lines of the table


def measure_left_out(sources: dict[str, Source], name: str, options: argparse.Namespace, work: Path) -> None:
    """Train on all but one source, and on phantoms; test on that one."""
    folder = work / f"without_{name}"

    def measure() -> list[CaseFigure]:
        others = [source for source in sources.values() if source.name != name]
        plan(folder, others, options, work)
        model = train(folder, "all", options)
        fold = Fold(f"without {name}", str(model), {name: {case.id for case in sources[name].cases}})
        return tested(fold, sources, folder, options.device)

    kept(folder, training_settings(sources, options, left_out=name), measure)


def measure_pooled(sources: dict[str, Source], options: argparse.Namespace, work: Path) -> None:
    """Train folds of patients of all sources together; test each on its own."""
    folder = work / "pooled"
    settings = training_settings(sources, options, folds=options.folds)
    check_settings(folder, settings)
    plan(folder, list(sources.values()), options, work, "--folds", options.folds)
    for number, fold in enumerate(read_json(WorkFolder(folder / "work").splits)["folds"]):
        ids = {
            name: {case.id for case in source.cases if f"{name}-{case.id}" in fold["validation"]}
            for name, source in sources.items()
        }

        def measure(number: int = number, ids: dict[str, set[str]] = ids) -> list[CaseFigure]:
            model = train(folder, str(number), options)
            return tested(Fold("pooled", str(model), ids), sources, folder / f"fold_{number}", options.device)

        kept(folder / f"fold_{number}", settings, measure)


def measure_model(sources: dict[str, Source], options: argparse.Namespace, work: Path) -> None:
    """Test a given model; scans that its card lists are kept apart."""
    line, cards = name_model(options)
    wanted = wanted_ids(options.cases, sources)
    folder = work / folder_name(line)
    settings = {"model": [card.weights for card in cards], "tested": {k: sorted(v) for k, v in wanted.items()}}
    kept(folder, settings, lambda: tested(Fold(line, options.model, wanted), sources, folder, options.device))


def wanted_ids(path: Path | None, sources: dict[str, Source]) -> dict[str, set[str]]:
    """Return the ids to test by source: all, or those that a file lists as SOURCE-ID, or as ID where it is unique."""
    all_ids = {name: {case.id for case in source.cases} for name, source in sources.items()}
    if path is None:
        return all_ids
    wanted: dict[str, set[str]] = {name: set() for name in sources}
    for word in lines_of(path):
        meant = [(name, id_) for name, ids in all_ids.items() for id_ in ids if word in (f"{name}-{id_}", id_)]
        if len(meant) != 1:
            what = "several cases" if meant else "no case of the sources"
            raise SystemExit(f"{path}: {word} names {what}; write SOURCE-ID, one a line")
        wanted[meant[0][0]].add(meant[0][1])
    return {name: ids for name, ids in wanted.items() if ids}


def name_model(options: argparse.Namespace) -> tuple[str, list[ModelCard]]:
    from autospine.inference.model import find_models

    cards = [model.card for model in find_models([options.model])]
    return options.line or f"model {'+'.join(card.weights[:8] for card in cards)}", cards


def folder_name(line: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in line)


# Slices


def measure_slices(options: argparse.Namespace, work: Path) -> None:
    """Count vertebrae and discs in slices of patients that are not left out."""
    from unseen_slices import SliceFigure, find_slices, plain, write_slice

    line, cards = name_model(options)
    folder = work / f"{folder_name(line)}_slices"
    slices = find_slices(options.slices, options.overview, left_out(options.without))
    settings = {"model": [card.weights for card in cards], "line": line, "slices": [one.id for one in slices]}
    check_settings(folder, settings)
    if not (folder / SLICES).exists():
        images = [write_slice(one, folder / "images") for one in slices]
        reports = predict(options.model, images, folder / "masks" / "slices", "spider", options.device)
        found = {id_: report for id_, (report, _) in reports.items()}
        figures = [SliceFigure.of(one, found.get(one.id)) for one in slices]
        write_json(folder / SLICES, {"settings": settings, "slices": plain(figures)})


def left_out(words: Iterable[str]) -> set[str]:
    """Return patients: words that are folders stand for those of a data set."""
    patients = set()
    for word in words:
        patients |= {case.patient for case in load_dataset(word).cases} if Path(word).is_dir() else {word}
    return patients


# What stays


def training_settings(sources: dict[str, Source], options: argparse.Namespace, **more: object) -> dict[str, Any]:
    """Return what a line's figures depend on."""
    names = ("minutes", "epochs", "recipe", "phantoms", "size", "seed")
    cases = {name: [case.id for case in source.cases] for name, source in sources.items()}
    return {**{name: getattr(options, name) for name in names}, "sources": cases, **more}


def kept(folder: Path, settings: dict[str, Any], measure: Callable[[], list[CaseFigure]]) -> None:
    """Measure a line unless its figures are there."""
    check_settings(folder, settings)
    if not (folder / FIGURES).exists():
        figures = [figure.to_dict() for figure in measure()]
        write_json(folder / FIGURES, {"settings": settings, "cases": figures})


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Note the settings of a line before it is measured; stop where it was begun with others."""
    path, plain = folder / SETTINGS, json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, plain)
        return
    before = read_json(path)
    changed = sorted(name for name in {*before, *plain} if before.get(name) != plain.get(name))
    if changed:
        raise SystemExit(f"{folder}: was begun with other settings ({', '.join(changed)}); take another WORK or --line")


def write_tables(work: Path, looked_at_file: Path | None) -> str:
    """Write the tables of all lines in a folder as Markdown, CSV and JSON; return them as text."""
    from unseen_slices import SliceFigure, slice_table, slices_csv

    looked_at = set(lines_of(looked_at_file)) if looked_at_file else set()
    lines = [read_json(path) for path in sorted({*work.glob(f"*/{FIGURES}"), *work.glob(f"*/fold_*/{FIGURES}")})]
    cases = [CaseFigure.from_dict(case) for line in lines for case in line["cases"]]
    tables, notes = [], [f"Machine: {machine()}."]
    if cases:
        rows = summarise(cases)
        tables.append(summary_table(rows))
        notes += [f"Looked at, {text}." for text in looked_at_lines(rows, looked_at)]
        notes += ["A star: its figures were looked at before this measurement."] if looked_at else []
        write_text(work / "unseen.csv", summary_csv(rows))
        write_text(work / "unseen_cases.csv", cases_csv(cases, looked_at))
    counted = {path: read_json(path) for path in sorted(work.glob(f"*/{SLICES}"))}
    for path, content in counted.items():
        figures = [SliceFigure.from_dict(figure) for figure in content["slices"]]
        tables.append(slice_table(figures, content["settings"]["line"]))
        write_text(path.with_suffix(".csv"), slices_csv(figures))
    if not tables:
        return "nothing was measured"
    write_text(work / "unseen.md", markdown_page("Unseen", [table.as_section() for table in tables], notes))
    write_json(
        work / "unseen.json",
        {"machine": machine(), "lines": lines, "slices": list(counted.values()), "looked_at": sorted(looked_at)},
    )
    return "\n\n".join(f"{table.title}\n{table.as_text()}\n{table.note}" for table in tables)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file that hold anything."""
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise SystemExit(f"{path}: cannot be read ({error.strerror}); check the path") from error


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
