"""`autospine_evaluate`: scores predictions against references."""

from __future__ import annotations

import argparse
import sys

from autospine.commands.shared import add_workers, parser, run

EXAMPLES = """  autospine_evaluate predictions masks
  autospine_evaluate predictions dataset -o scores
  autospine_evaluate 5_t2.mha masks/5_t2.mha --pred-labels lumbar7 --ref-labels spider"""


def main() -> int:
    """Entry point."""
    made = parser("Scores predicted masks against reference masks, structure by structure.", EXAMPLES)
    made.add_argument("prediction", metavar="PRED", help="predicted mask, or a folder of them")
    made.add_argument(
        "reference", metavar="REF", help="reference mask, or a folder of them (cases pair by name)"
    )
    scheme = "a scheme's name, a scheme file or a dataset.json (default: the folder's own, else found out)"
    made.add_argument("--pred-labels", metavar="SCHEME", help=f"labels of PRED: {scheme}")
    made.add_argument("--ref-labels", metavar="SCHEME", help="labels of REF: the same")
    made.add_argument("-o", "--output", metavar="OUT", help="write cases.csv, summary.json, summary.md here")
    add_workers(made)
    return run(made, evaluate)


def evaluate(options: argparse.Namespace) -> int:
    """Prints the scores; 2 if a case could not be scored."""
    from autospine.evaluation.folders import score_folder
    from autospine.labels.conversion import get_scheme
    from autospine.machine import workers_for

    pred_scheme = get_scheme(options.pred_labels) if options.pred_labels else None
    ref_scheme = get_scheme(options.ref_labels) if options.ref_labels else None
    workers = workers_for(options.workers)
    evaluation = score_folder(options.prediction, options.reference, pred_scheme, ref_scheme, workers)
    print(evaluation.table())
    if options.output:
        evaluation.save(options.output)
    for line in evaluation.failures:
        sys.stderr.write(f"autospine_evaluate: error: {line}\n")
    return 2 if evaluation.failures else 0


if __name__ == "__main__":
    sys.exit(main())
