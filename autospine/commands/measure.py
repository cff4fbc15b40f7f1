"""autospine_measure: heights, angles, slips and diameters from masks."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_workers, make_parser, make_request, report, run

DESCRIPTION = (
    "Measures vertebrae, discs and canal of any masks, level by level, each figure with its unit, its definition and "
    "its uncertainty; what the voxels cannot tell stays empty, with the reason."
)
EXAMPLES = """  autospine_measure predictions -i images -o measured
  autospine_measure spider -o measured --by sex
  autospine_measure mask.nii.gz --labels totalspineseg"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("masks", metavar="MASKS", type=Path, help="a mask, a folder of masks, or a data set")
    parser.add_argument(
        "-i", "--images", metavar="DIR", type=Path, help="scans, for pictures and signals (default: the data set's)"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, help="write measurements.csv, columns.csv, cases/ and measure.html"
    )
    parser.add_argument("--labels", metavar="SCHEME", help="what the masks' integers mean (default: found out)")
    parser.add_argument(
        "--by", metavar="COLUMN", action="append", default=[], help="a column of overview.csv that the page compares"
    )
    parser.add_argument(
        "--gradings", metavar="CSV", type=Path, help="SPIDER's radiological_gradings.csv (default: the data set's)"
    )
    parser.add_argument("--no-pictures", dest="pictures", action="store_false", help="tables and page only")
    add_workers(parser)
    return run(parser, _measure)


def _measure(options: argparse.Namespace) -> int:
    from autospine.measurement.run import MeasureRequest, measure_all

    result = measure_all(make_request(MeasureRequest, options))
    if options.output is None:
        print(result.levels_csv, end="")
    return report(result)


if __name__ == "__main__":
    raise SystemExit(main())
