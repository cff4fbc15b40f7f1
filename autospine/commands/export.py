"""autospine_export: what leaves the house, such as a model as a zip."""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.commands.shared import make_parser, make_request, run

DESCRIPTION = (
    "Writes a trained model as one zip that autospine_models installs: weights as safetensors, a card of what it "
    "learnt from, the licence, and the SHA-256 of each file."
)
EXAMPLES = """  autospine_export model work/models/unet/2d_sagittal/adapted/fold_0 spine.zip
  autospine_export model work/models/unet/2d_sagittal/adapted/fold_all spine.zip --sources sources.json
  autospine_export model box box.zip"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("kind", choices=("model",), help="what is exported", metavar="model")
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model's folder, or an installed model's name")
    parser.add_argument("output", type=Path, metavar="OUT", help="the zip; the model is called by its name")
    parser.add_argument(
        "--sources",
        type=Path,
        metavar="FILE",
        help="JSON: the model's name, and its data sets with their licences (default: none stated)",
    )
    parser.add_argument(
        "--work", type=Path, metavar="WORK", help="folder that it was trained in (default: the one that it lies in)"
    )
    parser.add_argument(
        "--precision",
        choices=("float16", "float32"),
        default="float16",
        help="of the stored weights (default: float16, half as large)",
    )
    return run(parser, _export)


def _export(options: argparse.Namespace) -> int:
    from autospine.sharing.export import ExportRequest, export

    print(export(make_request(ExportRequest, options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
