"""autospine_ensemble: several models as one, each with its weight."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_device, add_models, add_output, make_parser, make_request, run

DESCRIPTION = (
    "Combines models of one plan, one label scheme and one fold into an ensemble that autospine_predict takes like a "
    "model: their soft-max probabilities are blended. Weights are given, or searched for on validation cases, in "
    "steps of 0.05. Without either, every model weighs the same."
)
EXAMPLES = """  autospine_ensemble -m work/models/unetplusplus/2d_sagittal/adapted/fold_0 \\
      work/models/resunet/2d_sagittal/adapted/fold_0 -o ensemble --weights 0.85 0.15
  autospine_ensemble -m MODEL MODEL MODEL -o ensemble --search --work work --fold 0"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    add_models(parser, "model folders, two or more", required=True)
    add_output(parser, "folder for the ensemble")
    weighting = parser.add_mutually_exclusive_group()
    weighting.add_argument("--weights", nargs="+", type=float, metavar="W", help="one per model; their sum is 1")
    weighting.add_argument("--search", action="store_true", help="choose the weights by mean IoU on validation cases")
    parser.add_argument("--work", type=Path, metavar="WORK", help="of --search: the models' work folder")
    parser.add_argument(
        "--fold",
        metavar="K",
        help="of --search: a fold of WORK (default: the split that the first model was trained by)",
    )
    add_device(parser)
    return run(parser, _ensemble)


def _ensemble(options: argparse.Namespace) -> int:
    from autospine.ensemble.run import EnsembleRequest, make_ensemble

    print(make_ensemble(make_request(EnsembleRequest, options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
