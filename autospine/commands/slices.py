"""autospine_slices: turns a data set of volumes into PNG pairs."""

from __future__ import annotations

import argparse

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
    "Extracts the slices of every annotated scan, 8-bit PNG pairs of one size: OUT/images/<id>_<slice>.png and the "
    "labels as grey values in OUT/masks/. Slices stand upright whatever the header, keep their aspect, and are black "
    "around. OUT/slices.csv lists every slice with its classes and its class weight ratio."
)
EXAMPLES = """  autospine_slices -i spider -o spider_png
  autospine_slices -i spider -o spider_png --clean published --filter
  autospine_slices -i spider -o axial_png --plane axial --size 256 256 --labels spider --colours"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    add_input(parser, "dataset", "folder with images/ and masks/")
    add_output(parser, "folder for images/ and masks/")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=[512, 640],
        metavar=("WIDTH", "HEIGHT"),
        help="of the pictures (default: 512 640)",
    )
    parser.add_argument("--labels", default="semantic4", metavar="SCHEME", help="of the PNG masks (default: semantic4)")
    add_mask_labels(parser, "--mask-labels")
    parser.add_argument(
        "--plane", choices=("sagittal", "axial", "coronal"), default="sagittal", help="(default: sagittal)"
    )
    parser.add_argument(
        "--clean", dest="rules", choices=("adapted", "published"), help="clean the masks first, as autospine_clean does"
    )
    parser.add_argument(
        "--filter",
        dest="filtered",
        action="store_true",
        help="leave out slices without a class, or with a high ratio",
    )
    parser.add_argument(
        "--max-ratio",
        type=float,
        default=55.0,
        metavar="R",
        help="of the filter: largest class over smallest (default: 55)",
    )
    parser.add_argument("--colours", action="store_true", help="coloured previews in OUT/colours")
    add_workers(parser)
    return run(parser, _slices)


def _slices(options: argparse.Namespace) -> int:
    from autospine.slices.extract import SlicesRequest
    from autospine.slices.run import extract_slices

    return report(extract_slices(make_request(SlicesRequest, options)))


if __name__ == "__main__":
    raise SystemExit(main())
