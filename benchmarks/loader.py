"""Training steps per second with both loaders and augmentation, against one ready batch again and again.

All are the training loop's own steps: `Batches.iterate` in threads or in processes, `augmented`, `training_step`; the
last leaves the first two out. They alternate in blocks, so that a busy machine is busy for all. Target: at least 0.9.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from figures import Spread, call, command, make_parser, workspace

from autospine.core import registry
from autospine.core.machine import cores
from autospine.core.precision import usual_precision
from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plans
from autospine.training.data import Batches, Loader
from autospine.training.folds import read_case_pool
from autospine.training.job import TrainingJob
from autospine.training.loading import augmented, make_batches
from autospine.training.trainer import Context, Trainer, prepare

TARGET = 0.9
LOADERS: tuple[Loader, ...] = ("threads", "processes")


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--share", type=float, default=0.5, help="of the plan's widths (default: 0.5)")
    parser.add_argument("--steps", type=int, default=8, help="in a block (default: 8)")
    parser.add_argument("--plan", default="2d_sagittal", help="default: 2d_sagittal")
    options = parser.parse_args()
    with workspace(options.dataset) as (dataset, folder):
        call(command("plan", dataset, folder / "work", "--plans", options.plan))
        compare(folder / "work", options.plan, options.share, options.steps, options.repeats)


def compare(work: Path, plan: str, share: float, steps: int, repeats: int) -> None:
    """Train in blocks of `steps` updates, with each loader and without, and print all rates."""
    trainer, context, batches = prepared(work, plan, share)
    ready = augmented(trainer, batches.make(0), context.precision)
    trainer.training_step(context, ready)

    def loaded(loader: Loader, first: int) -> float:
        batches.loader = loader
        stream = batches.iterate(first, first + steps + 1)
        trainer.training_step(context, augmented(trainer, next(stream), context.precision))  # the stream is full now
        start = time.perf_counter()
        for batch in stream:
            trainer.training_step(context, augmented(trainer, batch, context.precision))
        return steps / (time.perf_counter() - start)

    def repeated() -> float:
        trainer.training_step(context, ready)
        start = time.perf_counter()
        for _ in range(steps):
            trainer.training_step(context, ready)
        return steps / (time.perf_counter() - start)

    rates = [(repeated(), *(loaded(loader, k * (steps + 1)) for loader in LOADERS)) for k in range(repeats)]
    print(f"plan {plan}, batch {trainer.batch}, patch {trainer.patch}, {batches.workers} workers")
    names = ("one batch again and again", *(f"loader in {loader}, augmentation" for loader in LOADERS))
    for k, name in enumerate(names):
        found = sorted(rate[k] for rate in rates)
        line = f"{name:38s} {found[len(found) // 2]:8.2f} steps/s  ({found[0]:.2f} to {found[-1]:.2f})"
        if k:
            ratio = Spread(tuple(rate[k] / rate[0] for rate in rates))
            low, high = min(ratio.seconds), max(ratio.seconds)
            line += f", ratio {ratio.median:.2f} ({low:.2f} to {high:.2f}), target at least {TARGET}"
        print(line)


def prepared(work: Path, plan: str, share: float) -> tuple[Trainer, Context, Batches]:
    """The baseline on fold 0, at a share of the plan's widths."""
    folder, device = WorkFolder(work), torch.device("cpu")
    chosen = Plans.load(folder.plans).get(plan, folder.plans)
    kind = registry.load("trainers", "unet")
    trainer = kind(chosen, kind.recipe_named(None))
    fold = read_case_pool(folder).folds[0]
    workers = max(min(cores() - 1, 8), 1)
    job = TrainingJob(work, work / "model", folder.preprocessed(plan), fold, "0", device, workers=workers)
    batches: Batches = make_batches(trainer, job, fold.train, 0)
    full = trainer.shape()
    shape = replace(full, widths=tuple(max(int(width * share) // 8 * 8, 8) for width in full.widths))
    context = prepare(trainer, shape, usual_precision(device), device)
    return trainer, context, batches


if __name__ == "__main__":
    main()
