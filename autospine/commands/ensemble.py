"""autospine_ensemble: several models as one, each with its weight."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_device, parser, run

DESCRIPTION = (
    "Combines models of one plan, one label scheme and one fold into an ensemble that autospine_predict takes like a "
    "model: their soft-max probabilities are blended. Weights are given, or searched for on validation cases, in "
    "steps of 0.05. Without either, every model weighs the same."
)
EXAMPLES = """  autospine_ensemble -m work/models/unetplusplus/2d_sagittal/adapted/fold_0 \\
      work/models/resunet/2d_sagittal/adapted/fold_0 -o ensemble --weights 0.85 0.15
  autospine_ensemble -m MODEL MODEL MODEL -o ensemble --search --work work --fold 0"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument("-m", "--model", nargs="+", required=True, type=Path, help="model folders, two or more")
    made.add_argument("-o", "--output", required=True, type=Path, help="folder for the ensemble")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--weights", nargs="+", type=float, metavar="W", help="one per model; their sum is 1")
    how.add_argument("--search", action="store_true", help="choose the weights by mean IoU on validation cases")
    made.add_argument("--work", type=Path, metavar="WORK", help="of --search: the models' work folder")
    made.add_argument(
        "--fold",
        metavar="K",
        help="of --search: a fold of WORK (default: the split that the first model was trained by)",
    )
    add_device(made)
    return run(made, _make)


def _make(options: argparse.Namespace) -> int:
    from autospine.ensemble.run import EnsembleRequest, make_ensemble

    request = EnsembleRequest(
        models=tuple(options.model),
        output=options.output,
        weights=None if options.weights is None else tuple(options.weights),
        search=options.search,
        work=options.work,
        fold=options.fold,
        device=options.device,
    )
    print(make_ensemble(request))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
