"""`autospine_reconstruct`: scans and masks on a finer slice grid."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from autospine.commands.shared import add_workers, parser, run

DESCRIPTION = (
    "Rebuilds scans on a finer slice grid. Measured slices stay on it and come back unchanged: every gap is divided "
    "into the whole number of parts nearest to --slice-spacing. Masks are filled in between annotated slices."
)
EXAMPLES = """  autospine_reconstruct -i scan.nii.gz -o fine
  autospine_reconstruct -i spider -o spider_1mm --masks spider/masks --table vertebrae.csv
  autospine_reconstruct -i dicom_series -o fine --slice-spacing 0.25 --method registration"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument(
        "-i",
        "--input",
        required=True,
        type=Path,
        metavar="IN",
        help="a scan, a folder of them or a DICOM folder",
    )
    made.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT",
        help="folder for the scans; with --masks for OUT/images and OUT/masks",
    )  # fmt: skip
    made.add_argument("--masks", type=Path, metavar="DIR", help="masks of the same names, rebuilt as well")
    made.add_argument(
        "--slice-spacing", type=float, default=1.0, metavar="MM", help="wanted slice distance (default: 1)"
    )
    made.add_argument(
        "--method", choices=("linear", "cubic", "registration"), default="linear",
        help="how images are filled in (default: linear)",
    )  # fmt: skip
    made.add_argument(
        "--mask-rule", choices=("aligned", "box"), default="aligned",
        help="how masks are filled in: outlines blended, or the published boxes (default: aligned)",
    )  # fmt: skip
    made.add_argument(
        "--table", type=Path, metavar="CSV", help="measurements of every label in every slice of the masks"
    )
    add_workers(made)
    return run(made, _reconstruct)


def _reconstruct(options: argparse.Namespace) -> int:
    from autospine.core.machine import workers_for
    from autospine.reconstruction.run import ReconstructRequest, reconstruct_all, summary

    outcome = reconstruct_all(
        ReconstructRequest(
            input=options.input,
            output=options.output,
            masks=options.masks,
            slice_spacing=options.slice_spacing,
            method=options.method,
            mask_rule=options.mask_rule,
            table=options.table,
            workers=workers_for(options.workers),
        )
    )
    print(summary(outcome.done, options.output))
    for line in outcome.failures:
        sys.stderr.write(f"autospine_reconstruct: error: {line}\n")
    return 2 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
