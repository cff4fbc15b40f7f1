"""autospine_clean: cleans masks by the rules of a paper, or only of what is plainly wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_workers, parser, run

DESCRIPTION = (
    "Cleans masks on their own grids: integers that the scheme lacks and isolated pixels take the most common "
    "neighbour; with --rules published all rules of Ahmed et al. 2024, which move borders as well. The masks come out "
    "in the scheme semantic4 (1 vertebrae, 2 canal, 3 discs)."
)
EXAMPLES = """  autospine_clean -i spider/masks -o cleaned --report changes.csv
  autospine_clean -i spider/masks -o cleaned --rules published
  autospine_clean -i mask.nii.gz -o cleaned --labels totalspineseg --keep-labels"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument("-i", "--input", required=True, type=Path, help="a mask, or a folder of masks")
    made.add_argument("-o", "--output", required=True, type=Path, help="folder for the clean masks")
    made.add_argument(
        "--rules", choices=("adapted", "published"), default="adapted", help="which rules (default: adapted)"
    )
    made.add_argument(
        "--labels",
        metavar="SCHEME",
        help="what the masks' integers mean (default: what dataset.json says, else spider)",
    )
    made.add_argument(
        "--keep-labels", action="store_true", help="keep the masks' own integers: vertebra 3 stays vertebra 3"
    )
    made.add_argument("--report", type=Path, metavar="CSV", help="pixels that each rule changed, slice by slice")
    add_workers(made)
    return run(made, _clean)


def _clean(options: argparse.Namespace) -> int:
    from autospine.cleaning.run import CleanRequest, clean_all

    outcome = clean_all(
        CleanRequest(
            masks=options.input,
            output=options.output,
            rules=options.rules,
            labels=options.labels,
            keep_labels=options.keep_labels,
            report=options.report,
            workers=options.workers,
        )
    )
    print(outcome.describe())
    return 2 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
