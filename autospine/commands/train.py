"""autospine_train: trains one fold, every fold, or on every case."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_device, parser, run

DESCRIPTION = (
    "Trains a network on a planned data set and validates it on whole scans. Interrupted, the same command with "
    "--continue goes on; on a CPU it ends in the same weights. Several processes: "
    "torchrun --nproc-per-node N -m autospine.commands.train WORK ..."
)
EXAMPLES = """  autospine_train work --trainer unet --plan 2d_sagittal --fold 0
  autospine_train work --trainer unet --plan 2d_sagittal --fold cv --minutes 30
  autospine_train work --trainer unet --plan 2d_sagittal --fold 0 --continue
  autospine_train work --trainer modified_unet --recipe published --sequence t2
  autospine_train work --trainer attention_unet --recipe published --option attend_encoder=true
  autospine_train work --trainer medfusionnet --members unetplusplus,resunet --minutes 60"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument("work", metavar="WORK", type=Path, help="folder that autospine_plan filled")
    _add_what(made)
    _add_how(made)
    add_device(made)
    made.add_argument("--continue", dest="resume", action="store_true", help="go on where a training stopped")
    made.add_argument("--held-out", action="store_true", help="score the data set's validation subset as well")
    made.add_argument("--compile", action="store_true", help="use torch.compile")
    made.add_argument("--tensorboard", action="store_true", help="log for TensorBoard too")
    return run(made, _train)


def _add_what(made: argparse.ArgumentParser) -> None:
    """Which network learns, and on which cases."""
    made.add_argument("--trainer", default="unet", help="unet (default), or an installed trainer's name")
    made.add_argument("--plan", help="default: what the trainer is made for, else 2d_sagittal, else the only one")
    made.add_argument("--fold", default="0", metavar="K|cv|all", help="a fold, every fold, or every case (default: 0)")
    made.add_argument("--recipe", help="adapted (default), published, or another of the trainer's")
    made.add_argument(
        "--split",
        choices=("patient", "slices"),
        help="how the recipe deals its data (default: as it says). slices, as some papers do, spoils the scores",
    )
    made.add_argument(
        "--sequence", metavar="t1|t2|t2_SPACE", help="train and score on cases of one sequence (default: all)"
    )
    made.add_argument(
        "--allow-missing-classes",
        action="store_true",
        help="train although the data lack a structure of the trainer's scheme",
    )


def _add_how(made: argparse.ArgumentParser) -> None:
    """A trainer's own choices, and how long."""
    made.add_argument("--members", metavar="A,B", help="of an ensemble: the networks to train (default: all)")
    made.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a choice that the trainer offers beside its recipes, such as flips=both; once for each",
    )
    made.add_argument("--list-options", action="store_true", help="say which choices the trainer offers, and end")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's")
    length.add_argument("--minutes", type=float, metavar="M", help="fit each fold, validation included, to this time")
    made.add_argument("--seed", type=int, default=0, metavar="S", help="of weights and patches (default: 0)")


def _train(options: argparse.Namespace) -> int:
    from autospine.core import registry
    from autospine.training.options import describe_options, parse_options
    from autospine.training.run import TrainRequest, train

    if options.list_options:
        print(describe_options(registry.load("trainers", options.trainer)))
        return 0
    request = TrainRequest(
        work=options.work,
        trainer=options.trainer,
        plan=options.plan,
        fold=options.fold,
        recipe=options.recipe,
        split=options.split,
        sequence=options.sequence,
        allow_missing_classes=options.allow_missing_classes,
        members=None if options.members is None else tuple(options.members.split(",")),
        options=parse_options(options.option),
        epochs=options.epochs,
        minutes=options.minutes,
        seed=options.seed,
        device=options.device,
        resume=options.resume,
        held_out=options.held_out,
        compile=options.compile,
        tensorboard=options.tensorboard,
    )
    print(train(request))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
