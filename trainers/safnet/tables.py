"""Table 1 of Yilihamu et al. 2023: mean Dice over structures, fold by fold, beside the published figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from autospine.core.files import write_text
from autospine.core.tables import NONE, Table, csv_text, markdown_page, mean_text
from autospine.evaluation.report.json_summary import read_summary
from autospine.labels.conversion import get_scheme
from trainers.safnet.recipes import COMPARED, PUBLISHED

FILE = "table_1"
SCHEME = "mrspineseg18"
FOLD = "fold_"
SUBSETS = ("test", "validation")  # what is scored, the first that there is
ABSENT = "absent"
PARTIAL = re.compile("_(pyramid|fusion|attention)-false")  # in the name of a folder: not the whole SAFNet
OWN = re.compile("_(all$|loss-(binary|cross_entropy)|(pyramid|fusion|attention)-true)")  # of SAFNet's names alone
Figure = tuple[float, float]  # mean and deviation, in percent
METHODS: Mapping[str, tuple[str, Sequence[Figure]]] = {  # by trainer, in the paper's order
    "unet": ("3D UNet", ((74.42, 5.22), (72.45, 8.24), (75.68, 7.42), (74.22, 5.32), (78.35, 3.22))),
    "cfnet": ("CFNet", ((78.95, 5.61), (77.02, 8.14), (78.31, 6.46), (74.46, 5.67), (80.13, 2.64))),
    "resunet": ("3D ResUNet", ((78.95, 5.41), (76.27, 9.07), (79.04, 6.38), (75.25, 5.76), (80.07, 4.49))),
    "deeplabv3": (
        "3D DeepLabV3",
        ((79.19, 6.52), (78.62, 8.48), (82.77, 3.46), (72.59, 5.88), (80.83, 3.48)),
    ),
    "safnet": ("SAFNet", ((79.46, 4.63), (78.82, 7.97), (81.32, 3.45), (80.56, 5.47), (81.45, 3.47))),
}
NOTES = (
    "Dice in percent, mean and standard deviation over the structures; each structure's figure is its mean over the "
    "scored cases whose annotation or mask shows it, 0 where only one of them does. What the paper's deviation runs "
    "over is not said.",
    "In brackets what the paper's table 1 prints for its own five folds of MRSpineSeg; fold k here has other cases.",
    "The paper's five-fold mean of SAFNet is 80.32 +- 5.00. Its fold 5 is 81.45 in the table, 80.83 in the text.",
    f'"{ABSENT}": no scored case of the fold shows the structure and none was predicted; it is in no mean. A structure '
    "that is annotated but that no training case shows scores 0 and counts.",
    f"The other networks' own figures are those of their recipe {COMPARED.name} (of adapted beside adapted), where "
    "they are trained in the same work folder: the same cases, transforms and folds.",
)


Folds = Mapping[int, Mapping[str, float]]  # Dice in percent by fold, then by structure (keys of anatomy) that is shown


def write_table(folder: Path) -> None:
    """Write table_1.md and table_1.csv above SAFNet's folds, of all that are scored, its own or a comparator's.

    Args:
        folder: Of one fold's masks and scores: models/<trainer>/<plan>/<recipe>/fold_<k>/<subset>. Nothing is written
            for other subsets, such as held-out cases, and while SAFNet itself is not there.
    """
    if folder.name not in SUBSETS or not folder.parent.name.startswith(FOLD):
        return
    recipe = folder.parents[1]
    for safnet in sorted((recipe.parents[2] / "safnet" / recipe.parent.name).glob("*")):
        if PARTIAL.search(safnet.name) or recipe not in (folders := recipe_folders(safnet)).values():
            continue
        scores = {name: scored_folds(folder) for name, folder in folders.items()}
        if scores["safnet"]:
            write_text(safnet / f"{FILE}.md", _markdown(scores))
            write_text(safnet / f"{FILE}.csv", _csv(scores))


def recipe_folders(recipe: Path) -> dict[str, Path]:
    """Return each method's recipe folder, given SAFNet's: of the same split and sequence, without SAFNet's options."""
    models, plan, name = recipe.parents[2], recipe.parent.name, recipe.name
    own = next((start for start in ("published_literal", PUBLISHED.name) if name.startswith(start)), "")
    compared = (COMPARED.name if own else "") + OWN.sub("", name.removeprefix(own))
    return {trainer: recipe if trainer == "safnet" else models / trainer / plan / compared for trainer in METHODS}


def scored_folds(recipe: Path) -> dict[int, dict[str, float]]:
    """Read the scores of the numbered folds in a recipe's folder."""
    scores = {}
    for fold in recipe.glob(f"{FOLD}*"):
        number = fold.name.removeprefix(FOLD)
        summaries = [path for subset in SUBSETS if (path := fold / subset / "summary.json").exists()]
        if number.isdecimal() and summaries:  # others: fold_all, or one that its owner has renamed
            scores[int(number)] = _dice(summaries[0])
    return dict(sorted(scores.items()))


def _dice(summary: Path) -> dict[str, float]:
    known = {anatomy.key for anatomy in get_scheme(SCHEME).anatomies.values()}
    rows = read_summary(summary, "score the fold again with autospine_train --continue")["labels"]
    dice = {row["anatomy"]: row["mean"]["dice"] for row in rows if not row["all_levels"]}
    return {key: 100 * value for key, value in dice.items() if key in known and value is not None}


def _markdown(scores: Mapping[str, Folds]) -> str:
    numbers = _folds(scores)
    names = [f"fold {k + 1}" for k in numbers]
    rows = []
    for trainer, (method, published) in METHODS.items():
        reached = [fold_figure(scores[trainer], k) for k in numbers]
        cells = [_cell(figure, _published(published, k)) for figure, k in zip(reached, numbers, strict=True)]
        means = [figure[0] for figure in reached if figure]
        overall = f"{mean(means):.2f}" if means else NONE
        rows.append((method, *cells, f"{overall} ({mean(value for value, _ in published):.2f})"))
    methods = Table("", (("method", *names, "mean"), *rows))
    structures = Table("This SAFNet by structure", (("structure", *names), *_structures(scores["safnet"], numbers)))
    return markdown_page("Table 1", [methods.as_markdown(), structures.as_section()], NOTES)


def _structures(folds: Folds, numbers: Sequence[int]) -> Iterator[tuple[str, ...]]:
    for anatomy in get_scheme(SCHEME).anatomies.values():
        values = [(k in folds, folds[k].get(anatomy.key) if k in folds else None) for k in numbers]
        cells = [NONE if not scored else ABSENT if value is None else f"{value:.2f}" for scored, value in values]
        yield (anatomy.name, *cells)


def _folds(scores: Mapping[str, Folds]) -> list[int]:
    """Return the paper's five folds, and those that a split of one's own has besides."""
    return sorted({*range(len(METHODS["safnet"][1])), *(k for folds in scores.values() for k in folds)})


def fold_figure(folds: Folds, fold: int) -> Figure | None:
    """Return mean and standard deviation (n - 1) over the structures; None if there are none."""
    values = list(folds.get(fold, {}).values())
    return (mean(values), stdev(values) if len(values) > 1 else 0.0) if values else None


def _published(figures: Sequence[Figure], fold: int) -> Figure | None:
    return figures[fold] if fold < len(figures) else None


def _cell(reached: Figure | None, published: Figure | None) -> str:
    text = mean_text(*reached) if reached else NONE
    return text if published is None else f"{text} ({mean_text(*published)})"


def _csv(scores: Mapping[str, Folds]) -> str:
    rows = []
    for trainer, (method, published) in METHODS.items():
        for k in _folds(scores):
            figures = fold_figure(scores[trainer], k), _published(published, k)
            rows.append([method, k + 1, *(cell for figure in figures for cell in figure or ("", ""))])
    return csv_text(["method", "fold", "mean", "deviation", "published_mean", "published_deviation"], rows)
