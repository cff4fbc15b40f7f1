"""autospine_view: a page in the browser that segments the scan that it is given."""

from __future__ import annotations

import argparse

from autospine.commands.shared import add_device, add_models, make_parser, make_request, run
from autospine.core.tables import DISCLAIMER

DESCRIPTION = (
    "Serves a page on this machine only: give it a scan and see its segmentation, slice by slice, with levels, "
    "volumes, confidence and warnings; the mask and its report can be saved. Needs Streamlit (pip install streamlit)."
)
EXAMPLES = """  autospine_view
  autospine_view -m work/models/unet/2d_sagittal/adapted/fold_0
  autospine_view -m work/models/unet/2d_sagittal/adapted --port 9000 --device cpu"""


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    add_models(parser)
    parser.add_argument("--port", type=int, default=8501, metavar="N", help="of the page (default: 8501)")
    parser.add_argument(
        "--host",
        dest="hosts",
        nargs="+",
        default=[],
        metavar="NAME",
        help="other names by which a tunnel or a proxy asks for the page (default: this machine's own only)",
    )
    add_device(parser)
    return run(parser, _view)


def _view(options: argparse.Namespace) -> int:
    from autospine.viewer.server import ViewRequest, prepare

    request = make_request(ViewRequest, options)
    serve = prepare(request)
    print(f"the page: {request.address} (Ctrl-C ends it). {DISCLAIMER}", flush=True)
    serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
