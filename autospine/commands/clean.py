"""autospine_clean: cleans masks by the rules of a paper, or only of what is plainly wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import (
    add_input,
    add_mask_labels,
    add_output,
    add_workers,
    make_parser,
    make_request,
    report,
    run,
)

DESCRIPTION = (
    "Cleans masks on their own grids: integers that the scheme lacks and isolated pixels take the most common "
    "neighbour; with --rules published all rules of Ahmed et al. 2024, which move borders as well. The masks come out "
    "in the scheme semantic4 (1 vertebrae, 2 canal, 3 discs)."
)
EXAMPLES = """  autospine_clean -i spider/masks -o cleaned --report changes.csv
  autospine_clean -i spider/masks -o cleaned --rules published
  autospine_clean -i mask.nii.gz -o cleaned --labels totalspineseg --keep-labels"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    add_input(parser, "masks", "a mask, or a folder of masks")
    add_output(parser, "folder for the clean masks, or a file for one")
    parser.add_argument(
        "--rules", choices=("adapted", "published"), default="adapted", help="which rules (default: adapted)"
    )
    add_mask_labels(parser, "--labels")
    parser.add_argument(
        "--keep-labels", action="store_true", help="keep the masks' own integers: vertebra 3 stays vertebra 3"
    )
    parser.add_argument("--report", type=Path, metavar="CSV", help="pixels that each rule changed, slice by slice")
    add_workers(parser)
    return run(parser, _clean)


def _clean(options: argparse.Namespace) -> int:
    from autospine.cleaning.run import CleanRequest, clean_all

    return report(clean_all(make_request(CleanRequest, options)))


if __name__ == "__main__":
    raise SystemExit(main())
