r"""Train on a data set for some minutes, score it, and predict other data sets without retraining.

Prints Dice of each level, their mean over the levels that the model knows, and all vertebrae taken as one ("known":
of those levels alone, since a reference may name vertebrae above them), case by case and on average.

Example:
    python benchmarks/train_real.py ../shared/data/t2 --train 5_t2 6_t2 7_t2 9_t2 12_t2 \
        --test 13_t2 14_t2 16_t2 17_t2 --minutes 10 --others ../shared/data/mixed ../shared/data/ffe
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from figures import call, command, make_parser, timed, workspace


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", nargs="+", metavar="ID", help="training cases (default: fold 0's)")
    parser.add_argument("--test", nargs="+", metavar="ID", help="test cases (default: fold 0's)")
    parser.add_argument("--minutes", type=float, default=10, help="for the training, validation included")
    parser.add_argument("--trainer", default="unet")
    parser.add_argument("--recipe", help="default: the trainer's first")
    parser.add_argument("--plan", default="2d_sagittal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--others", nargs="*", type=Path, default=[], help="data sets to predict as they are")
    parser.add_argument("--keep", type=Path, metavar="WORK", help="work folder that stays (default: none)")
    options = parser.parse_args()
    if bool(options.train) != bool(options.test):
        parser.error("give --train and --test together")
    with workspace(options.dataset) as (dataset, folder):
        work, plan = options.keep or folder / "work", ["--plans", options.plan]
        if options.train:
            splits = folder / "splits.json"
            splits.write_text(json.dumps({"train": options.train, "validation": options.test}))
            plan += ["--splits", splits]
        print(f"autospine_plan: {timed(lambda: call(command('plan', dataset, work, *plan))):.1f} s")
        which = ["--trainer", options.trainer, "--plan", options.plan]
        which += ["--recipe", options.recipe] if options.recipe else []
        line = command("train", work, "--minutes", options.minutes, "--seed", options.seed, *which)
        print(f"autospine_train --minutes {options.minutes:g}: {timed(lambda: call(line)) / 60:.2f} minutes")
        model = next((work / "models").glob("*/*/*/fold_0"))
        print_training(model)
        known = known_levels(model)
        table(f"{dataset.name}, test cases", model / "validation", dataset / "masks", known)
        for other in options.others:
            masks = folder / "predicted" / other.name
            seconds = timed(lambda o=other, m=masks: call(command("predict", "-i", o, "-o", m, "-m", model)))
            table(f"{other.name}, as it is (predicted in {seconds:.1f} s)", masks, other / "masks", known)


def print_training(model: Path) -> None:
    rows = (model / "metrics.csv").read_text().splitlines()
    widths = json.loads((model / "model.json").read_text())["shape"]["widths"]
    print(f"widths {widths}; last epoch: {dict(zip(rows[0].split(','), rows[-1].split(','), strict=True))}")


def known_levels(model: Path) -> set[int]:
    """SPIDER's vertebrae, 1 to 25, among the labels that the model was trained on."""
    classes = json.loads((model / "model.json").read_text())["encoding"]["classes"]
    return {value for kind in classes for value in kind["values"] if 1 <= value <= 25}


def table(title: str, predicted: Path, masks: Path, known: set[int]) -> None:
    """Dice per case; a level that only one of the two masks shows scores 0."""
    from autospine.volumes import find_volumes, read_mask, volume_id

    references = {volume_id(path): path for path in find_volumes(masks)}
    rows: dict[str, dict[str, float]] = {}
    for path in find_volumes(predicted):
        found, reference = read_mask(path).array, read_mask(references[volume_id(path)]).array
        rows[volume_id(path)] = scores(found, reference, known)
    levels = sorted({name for row in rows.values() for name in row if name.isdecimal()}, key=int)
    columns = ["all", "known", "levels", *levels]
    print(f"{title}\n{'case':>10s}" + "".join(f"{name:>8s}" for name in columns))
    for name, row in rows.items():
        print(f"{name:>10s}" + "".join(cell(row.get(column)) for column in columns))
    means = (mean([row[column] for row in rows.values() if column in row]) for column in columns)
    print(f"{'mean':>10s}" + "".join(map(cell, means)))


def scores(found: np.ndarray, reference: np.ndarray, known: set[int]) -> dict[str, float]:
    found, reference = (np.where((mask >= 1) & (mask <= 25), mask, 0) for mask in (found, reference))
    levels = sorted({*np.unique(found), *np.unique(reference)} - {0})
    row = {str(level): dice(found == level, reference == level) for level in levels}
    return {
        "all": dice(found > 0, reference > 0),
        "known": dice(np.isin(found, list(known)), np.isin(reference, list(known))),
        "levels": mean([row[str(level)] for level in levels if level in known]),
        **row,
    }


def dice(a: np.ndarray, b: np.ndarray) -> float:
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def cell(value: float | None) -> str:
    return f"{'-':>8s}" if value is None else f"{value:8.3f}"


if __name__ == "__main__":
    main()
