"""autospine_evaluate: scores predictions against references."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from autospine.commands.shared import add_workers, make_parser, make_request, run

EXAMPLES = """  autospine_evaluate predictions masks
  autospine_evaluate predictions dataset -o scores --by vendor
  autospine_evaluate predictions dataset --protocol spider
  autospine_evaluate unet dataset --against nnunet totalspineseg -o scores
  autospine_evaluate 5_t2.mha masks/5_t2.mha --pred-labels lumbar7 --ref-labels spider"""


def main() -> int:
    """Run the command."""
    parser = make_parser("Scores predicted masks against reference masks, structure by structure.", EXAMPLES)
    parser.add_argument("prediction", metavar="PRED", type=Path, help="predicted mask, or a folder of them")
    parser.add_argument(
        "reference",
        metavar="REF",
        type=Path,
        help="reference mask, a folder of them, or a data set (cases pair by name)",
    )
    parser.add_argument(
        "--against",
        metavar="PRED",
        type=Path,
        nargs="+",
        default=[],
        help="folders of other methods to test PRED against",
    )
    scheme = "a scheme's name, a scheme file or a dataset.json (default: the folder's own, else found out)"
    parser.add_argument("--pred-labels", metavar="SCHEME", help=f"labels of PRED: {scheme}")
    parser.add_argument("--ref-labels", metavar="SCHEME", help="labels of REF: the same")
    parser.add_argument("--protocol", choices=("spider",), help="the figures of SPIDER's own script, too, beside these")
    parser.add_argument(
        "--by",
        metavar="COLUMN",
        action="append",
        help="group cases by sequence, vendor or a column of overview.csv; may be repeated "
        "(default: by sequence if there are several)",
    )
    parser.add_argument("--tolerance", metavar="MM", type=float, default=1.0, help="of NSD, in mm (default: 1)")
    parser.add_argument(
        "--resample",
        action="store_true",
        help="bring predictions on other grids to their reference's, by nearest neighbour (not with --protocol)",
    )
    parser.add_argument("--images", metavar="DIR", type=Path, help="scans for the pictures (default: the data set's)")
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, help="write report.html, tables and summary.json here"
    )
    add_workers(parser)
    return run(parser, _evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from autospine.evaluation.report.text import as_text
    from autospine.evaluation.run import EvaluateRequest, evaluate

    comparison = evaluate(make_request(EvaluateRequest, options))
    print(as_text(comparison, _width()))
    if options.output:
        print(f"\nThe whole report: {options.output / 'report.html'}")
    for line in comparison.failures:
        sys.stderr.write(f"autospine_evaluate: error: {line}\n")
    return 2 if comparison.failures else 0


def _width() -> int | None:
    """Return the width of the terminal; None where the text goes to a file."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None


if __name__ == "__main__":
    raise SystemExit(main())
