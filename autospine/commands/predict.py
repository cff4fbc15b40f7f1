"""autospine_predict: segments a scan, a folder of scans or a DICOM series."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import add_device, add_workers, parser, run

DESCRIPTION = (
    "Segments scans on their own grids. Beside each mask lies <id>.json with levels, confidence, flags, centroids "
    "and volumes. Several models (folds) are averaged."
)
EXAMPLES = """  autospine_predict -i scan.nii.gz -o masks -m work/models/unet/2d_sagittal/adapted/fold_0
  autospine_predict -i scans/ -o masks/ -m work/models/unet/2d_sagittal/adapted --overlay
  autospine_predict -i dicom_series/ -o masks/ -m MODEL --labels totalspineseg"""


def main() -> int:
    """Entry point."""
    made = parser(DESCRIPTION, EXAMPLES)
    made.add_argument("-i", "--input", nargs="+", required=True, type=Path, help="file(s), a folder or a DICOM folder")
    made.add_argument("-o", "--output", required=True, type=Path, help="folder for the masks")
    made.add_argument("-m", "--model", nargs="+", required=True, type=Path, help="model folder(s)")
    made.add_argument("--labels", metavar="SCHEME", help="scheme of the masks (default: the data set's own)")
    add_device(made)
    add_workers(made)
    made.add_argument("--overlay", action="store_true", help="a PNG with coloured labels beside each mask")
    made.add_argument("--probabilities", action="store_true", help="class probabilities (.npy) beside each mask")
    made.add_argument(
        "--panoptic",
        action="store_true",
        help="instance maps, a number per connected object, and tables of the objects in OUTPUT/panoptic",
    )
    made.add_argument("--overwrite", action="store_true", help="predict again what is already there")
    return run(made, _predict)


def _predict(options: argparse.Namespace) -> int:
    from autospine.inference.run import PredictRequest, predict_scans

    outcome = predict_scans(
        PredictRequest(
            inputs=tuple(options.input),
            output=options.output,
            models=tuple(options.model),
            labels=options.labels,
            device=options.device,
            workers=options.workers,
            overlay=options.overlay,
            probabilities=options.probabilities,
            panoptic=options.panoptic,
            overwrite=options.overwrite,
        )
    )
    print(outcome.describe())
    return 2 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
