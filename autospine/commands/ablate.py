"""autospine_ablate: a paper's ablation, trained anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_start, add_training, make_parser, make_request, run

DESCRIPTION = (
    "Trains the variants of a paper's ablation one after another, with one seed and one budget each, and writes its "
    "tables with the published figures beside AutoSpine's and paired t-tests. Interrupted, the same command with "
    "--continue goes on; finished variants are kept."
)
EXAMPLES = """  autospine_ablate work --trainer wgan_resunet --minutes 20
  autospine_ablate work --trainer wgan_resunet --recipe published --size 128 --epochs 40
  autospine_ablate work --trainer safnet --minutes 30 --fold 2
  autospine_ablate work --trainer safnet --continue --fold 2"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("work", metavar="WORK", type=Path, help="folder that autospine_plan filled")
    parser.add_argument("--trainer", required=True, help="one that declares variants: wgan_resunet, safnet, ...")
    parser.add_argument("--plan", help="default: the first that the trainer takes")
    parser.add_argument("--recipe", help="default: the trainer's")
    parser.add_argument("--fold", default="0", metavar="K", help="default: 0")
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="of the longer side of the slices (default: as the recipe says)",
    )
    add_start(parser, "none")
    add_training(parser, "variant")
    return run(parser, _ablate)


def _ablate(options: argparse.Namespace) -> int:
    from autospine.ablation.run import AblateRequest, ablate

    print(ablate(make_request(AblateRequest, options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
