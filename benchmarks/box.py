"""Packs a trained model as the one in the box: half-precision weights, and a card of what it learnt from.

    python benchmarks/box.py make MODEL WORK SOURCES.json autospine/models/installed

Writes the folder OUT/<name> that the wheel carries, and prints the card. SOURCES.json: docs/models.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.models.files import WEIGHTS
from autospine.models.installed import InstalledModel
from autospine.sharing.export import single_model
from autospine.sharing.manage import check_folder, show
from autospine.sharing.pack import Description, pack_model


def make(model: Path, work: Path, sources: Path, out: Path) -> str:
    """Pack the model into `out`; return its card as text."""
    described = Description.load(sources)
    folder = out / described.name
    if folder.exists():
        raise UserError(folder, "is there already", "delete it, or give another folder")
    pack_model(single_model(model), WorkFolder(work), described, folder)
    check_folder(folder)
    card = show(InstalledModel(described.name, folder, bundled=True))
    return f"{card}\nwritten to {folder}: {(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB of weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("make",))
    parser.add_argument("model", type=Path, help="folder that autospine_train made")
    parser.add_argument("work", type=Path, help="work folder that it was trained in")
    parser.add_argument("sources", type=Path, help="JSON: name, release, summary, labels, sources, not_seen")
    parser.add_argument("out", type=Path, help="folder that gets the model's folder")
    options = parser.parse_args()
    try:
        print(make(options.model, options.work, options.sources, options.out))
    except UserError as error:
        raise SystemExit(f"box: {error}") from None


if __name__ == "__main__":
    main()
