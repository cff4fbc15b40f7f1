"""Train the model in the box: phantoms and six open data sets that annotate different things, jointly.

    python benchmarks/train_box.py DATA WORK [--epochs 14]

DATA holds the data sets in folders of these names, native layout: spider_t2space, t2, ffe, mixed, discs, and
subregions (a T2w image and its subregion mask in SPINEPS's integers). WORK gets phantoms, links, plans and the model.
Interrupted, the same command goes on. `python benchmarks/box.py make` packs the result, `box.json` describes it.
The cases held out are never trained on and were looked at once, for the model's own scores.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import autospine
from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plans

PHANTOMS, PIXEL_MM, BATCH = 80, 0.94, 8
# Narrow where pixels are many and time goes, wide where the spine is seen whole: 0.55 s an update on two cores.
WIDTHS = (8, 24, 64, 128, 256, 256)
SUBREGIONS = {41: "posterior elements", 49: "body", 50: "body", 60: "canal", 61: "canal", 62: "body", 100: "disc"}


@dataclass(frozen=True)
class Source:
    """One data set, as it takes part."""

    name: str
    weight: float  # how often patches are sampled from it
    scheme: str | None = None  # of its masks, where its dataset.json does not say
    held_out: tuple[str, ...] = ()
    declaration: dict[str, object] = field(default_factory=dict)  # content of its dataset.json


SOURCES = (
    Source("spider_t2space", 3, "spider", ("18_t2_SPACE", "69_t2_SPACE", "141_t2_SPACE", "185_t2_SPACE")),
    Source("t2", 1.5, "bodies", ("16_t2", "17_t2")),
    Source("ffe", 2, "bodies", ("1_t1", "32_t1", "34_t1")),
    Source(
        "mixed",
        1.5,
        held_out=("15_t2",),
        # S1 alone is labelled of the sacrum, so "annotates" leaves it out: the rest may hide in the background.
        declaration={
            "labels": {"1": "sacrum", **{str(level + 1): f"body:{level}" for level in range(1, 19)}},
            "annotates": ["body"],
        },
    ),
    Source("discs", 0.7, "spider"),
    Source(
        "subregions",
        0.3,
        declaration={
            "labels": {
                **{str(value): "posterior elements" for value in range(41, 49)},
                **{str(value): anatomy for value, anatomy in SUBREGIONS.items()},
            }
        },
    ),
    Source("phantom", 2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the data sets")
    parser.add_argument("work", type=Path, metavar="WORK", help="folder that gets everything that is made")
    parser.add_argument("--epochs", type=int, default=14, help="of 250 updates (default: 14)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    try:
        print(train(options.data, options.work, options.epochs, options.device))
    except UserError as error:
        raise SystemExit(f"train_box: {error}") from None


def train(data: Path, work: Path, epochs: int, device: str) -> str:
    """Make phantoms, plan, narrow the network and train it; return what the training says at its end."""
    folders = [link(data / source.name, work / "sources" / source.name, source) for source in SOURCES]
    autospine.write_phantom(folders[-1], PHANTOMS, 0, "full", 0, "parts", True)
    (folders[-1] / "overview.csv").unlink(missing_ok=True)  # its subset: all phantoms teach
    splits = work / "splits.json"
    splits.write_text(json.dumps(fold(folders)))
    folder = work / "work"
    if not (folder / "plans.json").exists():
        labels = tuple(f"{source.name}={source.scheme}" for source in SOURCES if source.scheme)
        autospine.plan(folders, folder, labels=labels, splits=splits, pixel_spacing=PIXEL_MM, device=device)
        narrow(WorkFolder(folder))
    weights = {source.name: source.weight for source in SOURCES}
    resume = any((folder / "models").glob("*/*/*/*/checkpoint.pt"))
    return autospine.train(folder, recipe="robust", epochs=epochs, source_weights=weights, device=device, resume=resume)


def link(source: Path, folder: Path, description: Source) -> Path:
    """Make a data set of links to a source's files, with the dataset.json that describes it."""
    if description.name == "phantom":
        return folder
    for kind, files in files_of(source).items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, path in files.items():
            if not (folder / kind / name).exists():
                (folder / kind / name).symlink_to(path.resolve())
    if description.declaration:
        (folder / "dataset.json").write_text(json.dumps(description.declaration, indent=1))
    return folder


def files_of(source: Path) -> dict[str, dict[str, Path]]:
    """Return the files of a data set by folder and name; of subregions the pair of image and subregion mask."""
    if (source / "images").is_dir():
        return {kind: {path.name: path for path in (source / kind).iterdir()} for kind in ("images", "masks")}
    (image,), (mask,) = source.glob("*_T2w.nii.gz"), source.glob("*subreg*_msk.nii.gz")
    return {"images": {"sub-6_t2.nii.gz": image}, "masks": {"sub-6_t2.nii.gz": mask}}


def fold(folders: list[Path]) -> dict[str, list[str]]:
    """Return the one fold: what is not held out is trained on."""
    subsets: dict[str, list[str]] = {"train": [], "validation": []}
    for folder, source in zip(folders, SOURCES, strict=True):
        for path in sorted((folder / "images").iterdir()):
            id_ = path.name.split(".")[0]
            subsets["validation" if id_ in source.held_out else "train"].append(f"{source.name}-{id_}")
    return subsets


def narrow(work: WorkFolder) -> None:
    """Give the plan the widths and the batch of this file."""
    plans = Plans.load(work.plans).plans
    narrowed = (
        replace(plan, batch=BATCH, network=replace(plan.network, widths=WIDTHS[: len(plan.network.widths)]))
        for plan in plans
    )
    Plans(tuple(narrowed)).save(work.plans)


if __name__ == "__main__":
    main()
