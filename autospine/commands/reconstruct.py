"""autospine_reconstruct: scans and masks on a finer slice grid."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from autospine.commands.shared import add_input, add_output, add_workers, make_parser, make_request, run

DESCRIPTION = (
    "Interpolates slices between those of scans. Measured slices stay on the finer grid and come back unchanged: every "
    "gap is divided into the whole number of subdivisions nearest to --slice-spacing. Masks are filled in between "
    "annotated slices."
)
EXAMPLES = """  autospine_reconstruct -i scan.nii.gz -o fine
  autospine_reconstruct -i spider -o spider_1mm --masks spider/masks --table vertebrae.csv
  autospine_reconstruct -i dicom_series -o fine --slice-spacing 0.25 --method registration"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    add_input(parser, "input", "a scan, a folder of them or a DICOM folder")
    add_output(parser, "folder for the scans, or a file for one; with --masks the folder of OUT/images and OUT/masks")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="masks of the same names, interpolated as well")
    parser.add_argument(
        "--slice-spacing", type=float, default=1.0, metavar="MM", help="wanted slice distance (default: 1)"
    )
    parser.add_argument(
        "--method",
        choices=("linear", "cubic", "registration"),
        default="linear",
        help="how images are filled in (default: linear)",
    )
    parser.add_argument(
        "--mask-rule",
        choices=("aligned", "box"),
        default="aligned",
        help="how masks are filled in: outlines blended, or the published boxes (default: aligned)",
    )
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="measurements of every label in every slice of the masks"
    )
    add_workers(parser)
    return run(parser, _reconstruct)


def _reconstruct(options: argparse.Namespace) -> int:
    from autospine.reconstruction.run import ReconstructRequest, reconstruct_all

    outcome = reconstruct_all(make_request(ReconstructRequest, options))
    print(outcome.describe())
    for line in outcome.failures:
        sys.stderr.write(f"autospine_reconstruct: error: {line}\n")
    return 2 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
