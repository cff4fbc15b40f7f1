"""autospine_slices: turns a data set of volumes into PNG pairs."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_workers, parser, run

DESCRIPTION = (
    "Cuts every annotated scan into slices, 8-bit PNG pairs of one size: OUT/images/<id>_<slice>.png and the labels "
    "as grey values in OUT/masks/. Slices stand upright whatever the header, keep their aspect, and are black around. "
    "OUT/slices.csv lists every slice with its classes and its class weight ratio."
)
EXAMPLES = """  autospine_slices -i spider -o spider_png
  autospine_slices -i spider -o spider_png --clean published --filter
  autospine_slices -i spider -o axial_png --plane axial --size 256 256 --labels spider --colours"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument("-i", "--input", required=True, type=Path, help="folder with images/ and masks/")
    made.add_argument("-o", "--output", required=True, type=Path, help="folder for images/ and masks/")
    made.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=(512, 640),
        metavar=("WIDTH", "HEIGHT"),
        help="of the pictures (default: 512 640)",
    )
    made.add_argument("--labels", default="semantic4", metavar="SCHEME", help="of the PNG masks (default: semantic4)")
    made.add_argument(
        "--mask-labels",
        metavar="SCHEME",
        help="what the scans' masks mean (default: what dataset.json says, else spider)",
    )
    made.add_argument(
        "--plane", choices=("sagittal", "axial", "coronal"), default="sagittal", help="(default: sagittal)"
    )
    made.add_argument(
        "--clean", choices=("adapted", "published"), help="clean the masks first, as autospine_clean does"
    )
    made.add_argument("--filter", action="store_true", help="leave out slices without a class, or with a high ratio")
    made.add_argument(
        "--max-ratio",
        type=float,
        default=55.0,
        metavar="R",
        help="of the filter: largest class over smallest (default: 55)",
    )
    made.add_argument("--colours", action="store_true", help="coloured previews in OUT/colours")
    add_workers(made)
    return run(made, _slices)


def _slices(options: argparse.Namespace) -> int:
    from autospine.slices.batch import SlicesRequest, cut_all

    outcome = cut_all(
        SlicesRequest(
            dataset=options.input,
            output=options.output,
            size=tuple(options.size),
            labels=options.labels,
            mask_labels=options.mask_labels,
            plane=options.plane,
            rules=options.clean,
            filtered=options.filter,
            max_ratio=options.max_ratio,
            colours=options.colours,
            workers=options.workers,
        )
    )
    print(outcome.describe())
    return 2 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
