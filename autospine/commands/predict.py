"""autospine_predict: segments a scan, a folder of scans or a DICOM series."""

from __future__ import annotations

import argparse

from autospine.commands.shared import (
    add_device,
    add_input,
    add_models,
    add_output,
    add_workers,
    make_parser,
    make_request,
    report,
    run,
)

DESCRIPTION = (
    "Segments scans on their own grids. Beside each mask lies <id>.json with levels, confidence, flags, centroids "
    "and volumes. Several models (folds) are averaged."
)
EXAMPLES = """  autospine_predict -i scan.nii.gz -o masks
  autospine_predict -i scan.nii.gz -o masks -m work/models/unet/2d_sagittal/adapted/fold_0
  autospine_predict -i scans/ -o masks/ -m work/models/unet/2d_sagittal/adapted --overlay
  autospine_predict -i dicom_series/ -o masks/ -m MODEL --labels totalspineseg"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    add_input(parser, "inputs", "file(s), a folder or a DICOM folder", several=True)
    add_output(parser, "folder for the masks, or the mask's file for one scan")
    add_models(parser)
    parser.add_argument("--labels", metavar="SCHEME", help="scheme of the masks (default: the model's own)")
    add_device(parser)
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="number format of the networks (default: the fastest here, measured once)",
    )
    add_workers(parser)
    parser.add_argument("--overlay", action="store_true", help="a PNG with coloured labels beside each mask")
    parser.add_argument("--probabilities", action="store_true", help="class probabilities (.npy) beside each mask")
    parser.add_argument(
        "--panoptic",
        action="store_true",
        help="instance maps, a number per connected object, and tables of the objects in OUT/panoptic",
    )
    parser.add_argument("--measure", action="store_true", help="measure the masks too, into OUT/measured")
    parser.add_argument("--overwrite", action="store_true", help="predict again what is already there")
    return run(parser, _predict)


def _predict(options: argparse.Namespace) -> int:
    from autospine.inference.run import PredictRequest, predict_scans

    status = report(predict_scans(make_request(PredictRequest, options)))
    if not options.measure:
        return status
    from autospine.measurement.run import measure_predictions

    return max(status, report(measure_predictions(options.output, options.inputs, options.workers)))


if __name__ == "__main__":
    raise SystemExit(main())
