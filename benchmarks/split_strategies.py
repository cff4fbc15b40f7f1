r"""What splitting slices instead of patients does to a score: one network, the same minutes, both splits.

Trains `modified_unet` (recipe `adapted`) on a phantom of small grids, once with patients kept apart and once with
slices split one by one, as papers that turn volumes into PNG files do. Prints Dice of each class on the test subset of
both, pixels of all its slices counted together, and the difference: what the split adds without any better network.
With the default shares, five folds test every patient once, and every slice once: both splits are then scored on the
very same slices. Fewer folds compare slices of a few patients with slices of all, and say little.

Example:
    python benchmarks/split_strategies.py --cases 30 --minutes 3
"""

from __future__ import annotations

import csv
import statistics
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import call, command, make_parser, workspace

from autospine.core import registry
from autospine.networks.shape import NetworkShape
from autospine.planning.recipe import Recipe
from autospine.planning.split_strategies import SplitSettings
from autospine.training.run import TrainRequest, train
from trainers.modified_unet.tables import CLASSES
from trainers.modified_unet.trainer import ModifiedUNetTrainer

NAME = "one_width"
STRUCTURES = [name for label, name in CLASSES.items() if label]
Scores = dict[str, float]


class OneWidth(ModifiedUNetTrainer):
    """The same network whatever the machine does meanwhile."""

    name = NAME

    def width_options(self) -> Sequence[NetworkShape]:
        """One."""
        return (self.shape(),)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=30, help="of the phantom (default: 30)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=3, help="of each training (default: 3)")
    length.add_argument("--epochs", type=int, help="of 250 updates instead, where others use the machine too")
    parser.add_argument("--folds", type=int, default=5, help="trainings of each kind (default: 5)")
    parser.add_argument("--shares", type=float, nargs=3, default=(0.7, 0.1, 0.2), metavar=("TRAIN", "VAL", "TEST"))
    parser.add_argument("--width", type=float, default=0.25, help="share of the widths (default: 0.25)")
    parser.add_argument("--seed", type=int, default=0, help="of the phantom and the weights")
    options = parser.parse_args()
    register(options.shares, options.folds, options.width)
    with (
        TemporaryDirectory() as temporary,
        workspace(options.dataset or phantom(temporary, options)) as (dataset, folder),
    ):
        call(command("plan", dataset, folder / "work", "--plans", "2d_sagittal"))
        found: dict[str, list[Scores]] = {"slices": [], "patient": []}
        for fold in range(options.folds):
            for by, scores in found.items():
                scores.append(measure(folder / "work", by, fold, options))
    print_scores(found)


def phantom(folder: str, options: Namespace) -> Path:
    dataset = Path(folder) / "phantom"
    call(command("phantom", dataset, "--cases", options.cases, "--seed", options.seed, "--size", "small"))
    return dataset


def register(shares: Sequence[float], folds: int, width: float) -> None:
    """Make the trainer known, its recipe splitting patients in the shares asked for."""
    train_share, validation, test = shares
    split = SplitSettings("patient", train_share, validation, test, folds)
    adapted = replace(ModifiedUNetTrainer.recipes["adapted"], split=split)
    OneWidth.widths = tuple(int(full * width) for full in ModifiedUNetTrainer.widths)
    OneWidth.recipes: dict[str, Recipe] = {"adapted": adapted}
    registry.BUILT_IN["trainers"][NAME] = f"{__name__}:{OneWidth.__name__}"


def measure(work: Path, by: str, fold: int, options: Namespace) -> Scores:
    """Dice of every structure on the test subset."""
    request = TrainRequest(
        work,
        NAME,
        "2d_sagittal",
        str(fold),
        split=by,
        epochs=options.epochs,
        minutes=None if options.epochs else options.minutes,
        seed=options.seed,
        device="cpu",
    )
    train(request)
    recipe = "adapted" if by == "patient" else f"adapted_{by}"
    path = work / "models" / NAME / "2d_sagittal" / recipe / f"fold_{fold}" / "test" / "table_2.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    whole = "all" if any(row["sequence"] == "all" for row in rows) else rows[0]["sequence"]
    dice = {row["class"]: float(row["dice"]) for row in rows if row["sequence"] == whole and row["dice"]}
    return {**{name: dice[name] for name in STRUCTURES}, "mean": statistics.mean(dice[n] for n in STRUCTURES)}


def print_scores(found: dict[str, list[Scores]]) -> None:
    print(f"{'Dice':12s} {'slices':>8s} {'patient':>8s} {'difference':>11s}")
    for name in (*STRUCTURES, "mean"):
        slices, patient = ([scores[name] for scores in found[by]] for by in ("slices", "patient"))
        differences = [one - other for one, other in zip(slices, patient, strict=True)]
        spread = f"  ({min(differences):+.3f} to {max(differences):+.3f})" if len(differences) > 1 else ""
        print(
            f"{name:12s} {statistics.mean(slices):8.3f} {statistics.mean(patient):8.3f}"
            f" {statistics.mean(differences):+11.3f}{spread}"
        )


if __name__ == "__main__":
    main()
