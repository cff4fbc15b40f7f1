"""autospine: prints the table of commands."""

from __future__ import annotations

import argparse

from autospine.commands.shared import add_version
from autospine.core.tables import DISCLAIMER

COMMANDS = {
    "autospine_phantom OUT": "make a synthetic data set to try everything on",
    "autospine_plan DATASET WORK": "verify, fingerprint, plan with reasons, split, preprocess",
    "autospine_train WORK": "train a network and validate it on whole scans",
    "autospine_ablate WORK --trainer T": "train a paper's variants and print its ablation tables",
    "autospine_ensemble -m MODEL MODEL -o OUT": "several models as one, weights given or searched for",
    "autospine_predict -i IN -o OUT": "segment scans on their own grids, by the model in the box or -m MODEL",
    "autospine_models": "installed models: list, show, check, install, remove",
    "autospine_export model MODEL OUT": "a trained model as a zip that others can install",
    "autospine_view": "a page in the browser: give it a scan, see its segmentation",
    "autospine_evaluate PRED REF": "score masks: Dice, distances, per level and case",
    "autospine_measure MASKS": "heights, angles, slips and diameters per level, with pictures",
    "autospine_reconstruct -i IN -o OUT": "interpolate slices of scans and masks",
    "autospine_clean -i MASKS -o OUT": "clean masks: what is plainly wrong, or all rules of a paper",
    "autospine_slices -i DATASET -o OUT": "scans as PNG pairs of one size, slice by slice",
}


def main() -> int:
    """Print the table of commands, or the version."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="autospine",
        description="AutoSpine: segmentation of lumbar-spine MRI that configures itself.",
        epilog="\n".join(
            [
                "commands:",
                *(f"  {command:<{width}}  {what}" for command, what in COMMANDS.items()),
                "",
                f"Each command explains itself with --help. {DISCLAIMER}",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.parse_args()
    parser.print_help()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
