r"""Crop real scans from above and from below and counts levels that shift, and whether the shift was flagged.

Example:
    python benchmarks/levels.py ../shared/data/t2 --model work/models/unet/2d_sagittal/adapted/fold_0 \
        --cases 13_t2 14_t2 16_t2 17_t2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import make_parser

PRESENT = 500  # voxels from which a level counts as present


@dataclass(frozen=True)
class Crop:
    """Rows that stay of a scan."""

    name: str
    first: int
    last: int


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", required=True, metavar="ID", help="cases of the data set")
    options = parser.parse_args()
    if options.dataset is None:
        parser.error("name a data set")
    import torch

    from autospine.inference.model import find_models
    from autospine.inference.predictor import Predictor
    from autospine.volumes import find_volumes, read_image, read_mask, volume_id

    predictor = Predictor(find_models([options.model]), torch.device("cpu"))
    masks = {volume_id(path): path for path in find_volumes(options.dataset / "masks")}
    images = {volume_id(path): path for path in find_volumes(options.dataset / "images")}
    print(f"{'case':>10s} {'crop':<22s}{'all':>7s}{'right':>7s}{'shifted':>9s}{'FN':>8s}  flag")
    for case in options.cases:
        image, mask = read_image(images[case]), read_mask(masks[case]).array
        for crop in crops(mask):
            rows = slice(crop.first, crop.last)
            found = predictor.predict(image.array[None, :, rows].copy(), image.spacing).decoded
            print_levels(case, crop.name, found.labels, mask[:, rows], found.ambiguous)


def crops(mask: np.ndarray) -> list[Crop]:
    """Cut through and around the levels of a mask of SPIDER's integers."""
    end = mask.shape[1]
    rows = {int(v): np.flatnonzero((mask == v).any(axis=(0, 2))) for v in np.unique(mask) if 0 < v < 100}
    top = max(rows)
    return [
        Crop("whole", 0, end),
        Crop("topmost level cut off", int(rows[top - 1].min()) - 4, end),
        Crop("cut through level 4", int(rows[4].mean()), end),
        Crop("cut below level 1", 0, int(rows[1].max()) + 6),
        Crop("level 1 cut off", 0, int(rows[2].max()) + 4),
        Crop("cut through level 3", 0, int(rows[3].mean())),
    ]


def print_levels(case: str, crop: str, found: np.ndarray, reference: np.ndarray, ambiguous: str) -> None:
    levels = [v for v in np.unique(reference) if 0 < v < 100 and (reference == v).sum() > PRESENT]
    given = {v: int(np.bincount(found[reference == v]).argmax()) for v in levels}  # what most voxels were called
    right = sum(name == v for v, name in given.items())
    false_negatives = sum(name == 0 for name in given.values())
    shifted = len(levels) - right - false_negatives
    all_levels, flag = dice(found > 0, reference > 0), "ambiguous" if ambiguous else "clear"
    print(f"{case:>10s} {crop:<22s}{all_levels:7.3f}{right:7d}{shifted:9d}{false_negatives:8d}  {flag}")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


if __name__ == "__main__":
    main()
