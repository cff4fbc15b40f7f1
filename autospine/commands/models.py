"""autospine_models: installed models, their cards, installation and removal."""

from __future__ import annotations

import argparse

from autospine.commands.shared import make_parser, make_request, run

DESCRIPTION = (
    "Lists installed models with what they learnt from and what they have not seen; shows a model's whole card; checks "
    "that its files are whole; installs a model from a zip that autospine_export made; removes one."
)
EXAMPLES = """  autospine_models
  autospine_models show box
  autospine_models check
  autospine_models install spine.zip
  autospine_models install https://example.org/spine.zip --sha256 HASH
  autospine_models remove spine"""
ACTIONS = ("list", "show", "check", "install", "remove")


def main() -> int:
    """Run the command."""
    parser = make_parser(DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)", metavar="ACTION"
    )
    parser.add_argument("target", nargs="?", metavar="NAME|FILE|URL", help="a model's name, or what is installed")
    parser.add_argument("--sha256", metavar="HASH", help="of the zip that is installed: another file is refused")
    return run(parser, _models)


def _models(options: argparse.Namespace) -> int:
    from autospine.sharing.manage import ModelsRequest, manage_models

    print(manage_models(make_request(ModelsRequest, options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
