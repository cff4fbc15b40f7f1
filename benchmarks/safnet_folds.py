r"""SAFNet beside the 3-D U-Net, fold by fold, with the same minutes: mean Dice over structures.

Trains each trainer on each fold with `--minutes`, its own default recipe and the plan 3d_volume; whole validation cases
are predicted and scored. The structures are those of SAFNet's table 1 that the data set annotates. Two networks
with the same minutes, not the same updates: each takes the widest network that gets enough of them.

Example:
    python benchmarks/safnet_folds.py ../shared/data/t2 --minutes 30 --folds 0 1 2 3 4
"""

from __future__ import annotations

import statistics
from argparse import Namespace
from pathlib import Path

from figures import call, command, make_parser, workspace

from trainers.safnet.tables import Folds, fold_figure, scored_folds

PLAN = "3d_volume"


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10, help="of each training (default: 10)")
    parser.add_argument("--folds", type=int, nargs="+", default=[0], help="which (default: 0)")
    parser.add_argument("--of", type=int, default=5, help="folds that the data set is split into (default: 5)")
    parser.add_argument("--pixel-spacing", type=float, metavar="MM", help="of the plan (default: the data's)")
    parser.add_argument("--trainers", nargs="+", default=["safnet", "unet"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with workspace(options.dataset) as (dataset, folder):
        work = folder / "work"
        coarse = ["--pixel-spacing", options.pixel_spacing] if options.pixel_spacing else []
        call(command("plan", dataset, work, "--plans", PLAN, "--folds", options.of, *coarse))
        found: dict[str, Folds] = {}
        for fold in options.folds:
            for trainer in options.trainers:
                found[trainer] = measure(work, trainer, fold, options)
        print_scores(found, options.folds)


def measure(work: Path, trainer: str, fold: int, options: Namespace) -> Folds:
    """Train one fold; gives the scores of all folds so far."""
    which = ["--trainer", trainer, "--plan", PLAN, "--fold", fold, "--seed", options.seed]
    call(command("train", work, *which, "--minutes", options.minutes))
    (recipe,) = (work / "models" / trainer / PLAN).iterdir()
    return scored_folds(recipe)


def print_scores(found: dict[str, Folds], folds: list[int]) -> None:
    print(f"{'mean Dice':12s}" + "".join(f"{name:>20s}" for name in found))
    means: dict[str, list[float]] = {name: [] for name in found}
    for fold in folds:
        cells = ""
        for name, scores in found.items():
            figure = fold_figure(scores, fold)
            if figure:
                means[name].append(figure[0])
            cells += f"{f'{figure[0]:.2f} +- {figure[1]:.2f}' if figure else '-':>20s}"
        print(f"{f'fold {fold}':12s}{cells}")
    overall = (f"{statistics.mean(values):.2f}" if values else "-" for values in means.values())
    print(f"{'mean':12s}" + "".join(f"{cell:>20s}" for cell in overall))


if __name__ == "__main__":
    main()
