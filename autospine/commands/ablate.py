"""autospine_ablate: a paper's ablation, trained anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_device, parser, run

DESCRIPTION = (
    "Trains the variants of a paper's ablation one after another, with one seed and one budget each, and writes its "
    "tables with the published figures beside ours and paired t-tests. Interrupted, the same command with --continue "
    "goes on; finished variants are kept."
)
EXAMPLES = """  autospine_ablate work --trainer wgan_resunet --minutes 20
  autospine_ablate work --trainer wgan_resunet --recipe published --size 128 --epochs 40
  autospine_ablate work --trainer safnet --minutes 30 --fold 2
  autospine_ablate work --trainer safnet --continue --fold 2"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument("work", metavar="WORK", type=Path, help="folder that autospine_plan filled")
    made.add_argument("--trainer", required=True, help="one that declares variants: wgan_resunet, safnet, ...")
    made.add_argument("--plan", help="default: the first that the trainer takes")
    made.add_argument("--recipe", help="default: the trainer's")
    made.add_argument("--fold", default="0", metavar="K", help="default: 0")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="of each variant (default: the recipe's)")
    length.add_argument("--minutes", type=float, metavar="M", help="for each variant, validation included")
    made.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="of the longer side of the slices (default: as the recipe says)",
    )
    made.add_argument("--seed", type=int, default=0, metavar="S", help="of weights and patches (default: 0)")
    add_device(made)
    made.add_argument("--continue", dest="resume", action="store_true", help="go on where an ablation stopped")
    return run(made, _ablate)


def _ablate(options: argparse.Namespace) -> int:
    from autospine.ablation.run import AblateRequest, ablate

    print(
        ablate(
            AblateRequest(
                work=options.work,
                trainer=options.trainer,
                plan=options.plan,
                recipe=options.recipe,
                fold=options.fold,
                epochs=options.epochs,
                minutes=options.minutes,
                size=options.size,
                seed=options.seed,
                device=options.device,
                resume=options.resume,
            )
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
