"""autospine_plan: looks at a data set, decides, says why, and preprocesses."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_device, add_start, add_workers, make_parser, make_request, run

DESCRIPTION = (
    "Verifies a data set, writes its fingerprint, plans with their reasons and patient-grouped splits into "
    "WORK, and preprocesses. Interrupted, the same command continues."
)
EXAMPLES = """  autospine_plan spider work
  autospine_plan spider work --plans 2d_sagittal 3d_volume --explain
  autospine_plan spider work --plans 3d_volume --pixel-spacing 2
  autospine_plan spider work --plans slice_reconstruction --slice-spacing 0.5
  autospine_plan spider bodies discs work --labels bodies=bodies
  autospine_plan spider work --dry-run"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        type=Path,
        nargs="+",
        help="folder with images/ and masks/; several are trained on together, whatever each annotates",
    )
    parser.add_argument("work", metavar="WORK", type=Path, help="folder that gets everything that is made")
    parser.add_argument(
        "--labels",
        nargs="+",
        action="extend",
        metavar="SCHEME",
        help="what the masks' integers mean: a scheme's name or file (default: found out); "
        "NAME=SCHEME for the data set whose folder is NAME",
    )
    _add_grid(parser)
    add_start(parser)
    add_device(parser)
    parser.add_argument(
        "--memory",
        dest="memory_gib",
        type=float,
        metavar="GiB",
        help="that training may use (default: 60 %% of what there is); with --device cuda also of a GPU elsewhere",
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="say what a training of M minutes would do")
    parser.add_argument(
        "--folds",
        type=int,
        default=5,
        metavar="N",
        help="by patient; fewer if there are fewer patients (default: 5)",
    )
    parser.add_argument("--splits", type=Path, metavar="FILE", help="your own folds (JSON)")
    add_workers(parser)
    parser.add_argument("--explain", action="store_true", help="show the figures behind each decision")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and how long it takes")
    return run(parser, _plan)


def _add_grid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plans",
        nargs="+",
        metavar="PLAN",
        default=["2d_sagittal"],
        help="2d_sagittal (default), 2d_axial, 3d_volume, slice_reconstruction, or an installed planner's name",
    )
    parser.add_argument(
        "--pixel-spacing",
        type=float,
        metavar="MM",
        help="in-plane (default: as the data suggest); coarser trains faster, and its masks are rougher",
    )
    parser.add_argument(
        "--slice-spacing",
        type=float,
        metavar="MM",
        help="of slice_reconstruction: slices are interpolated this far apart (default: 1)",
    )
    parser.add_argument(
        "--slice-method",
        choices=("linear", "cubic", "registration"),
        help="of slice_reconstruction: how the image between slices is made (default: linear)",
    )


def _plan(options: argparse.Namespace) -> int:
    from autospine.planning.report import describe
    from autospine.planning.run import PlanRequest, make_plans

    options.plans = list(dict.fromkeys(options.plans))
    print(describe(make_plans(make_request(PlanRequest, options)), options.explain))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
