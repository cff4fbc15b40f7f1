"""autospine_train: trains one fold, every fold, or on every case."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_start, add_training, make_parser, make_request, run

DESCRIPTION = (
    "Trains a network on a planned data set and validates it on whole scans. Interrupted, the same command with "
    "--continue goes on; on a CPU it ends in the same weights. Several processes: "
    "torchrun --nproc-per-node N -m autospine.commands.train WORK ..."
)
EXAMPLES = """  autospine_train work --trainer unet --plan 2d_sagittal --fold 0
  autospine_train work --trainer unet --plan 2d_sagittal --fold cv --minutes 30
  autospine_train work --trainer unet --plan 2d_sagittal --fold 0 --continue
  autospine_train work --init-from box --minutes 10
  autospine_train work --trainer modified_unet --recipe published --sequence t2
  autospine_train work --trainer attention_unet --recipe published --option attend_encoder=true
  autospine_train work --trainer medfusionnet --members unetplusplus,resunet --minutes 60"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("work", metavar="WORK", type=Path, help="folder that autospine_plan filled")
    _add_network(parser)
    _add_cases(parser)
    add_training(parser, "fold")
    parser.add_argument("--held-out", action="store_true", help="score the data set's validation subset as well")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument(
        "--loader",
        choices=("auto", "memory", "threads", "processes"),
        default="auto",
        help="how batches are made: from the data set held whole in the device's memory, in threads or in processes "
        "(default: auto, which is threads on a CPU; on a GPU memory where the data fit, else processes)",
    )
    parser.add_argument("--tensorboard", action="store_true", help="log for TensorBoard too")
    return run(parser, _train)


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trainer", default="unet", help="unet (default), or an installed trainer's name")
    parser.add_argument("--plan", help="default: what the trainer is made for, else 2d_sagittal, else the only one")
    parser.add_argument("--recipe", help="adapted (default), published, or another of the trainer's")
    add_start(parser)
    parser.add_argument(
        "--members",
        type=lambda names: tuple(names.split(",")),
        metavar="A,B",
        help="of an ensemble: the networks to train (default: all)",
    )
    parser.add_argument(
        "--option",
        dest="options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a choice that the trainer offers beside its recipes, such as flips=both; once for each",
    )
    parser.add_argument("--list-options", action="store_true", help="say which choices the trainer offers, and end")


def _add_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fold", default="0", metavar="K|cv|all", help="a fold, every fold, or every case (default: 0)"
    )
    parser.add_argument(
        "--split",
        choices=("patient", "slices"),
        help="how the recipe splits its data (default: as it says). slices, as some papers do, spoils the scores",
    )
    parser.add_argument(
        "--sequence", metavar="t1|t2|t2_SPACE", help="train and score on cases of one sequence (default: all)"
    )
    parser.add_argument(
        "--source-weights",
        nargs="+",
        default=[],
        metavar="NAME=W",
        help="of data sets planned together: how often each is sampled (default: evenly)",
    )
    parser.add_argument(
        "--allow-missing-classes",
        action="store_true",
        help="train although the data lack a structure of the trainer's scheme",
    )


def _train(options: argparse.Namespace) -> int:
    from autospine.core import registry
    from autospine.training.options import describe_options, parse_options, parse_source_weights
    from autospine.training.run import TrainRequest, train

    if options.list_options:
        print(describe_options(registry.load("trainers", options.trainer)))
        return 0
    options.options = parse_options(options.options)
    options.source_weights = parse_source_weights(options.source_weights)
    print(train(make_request(TrainRequest, options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
