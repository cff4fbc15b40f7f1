"""Time mask cleaning of 100 slices of 512 x 640 pixels, by each set of rules, in semantic4 and with own labels kept.

The masks are the sagittal slices of a phantom, brought to that size as the recipe does, with specks in them as bad
conversions leave. Reading and writing are not timed. Target: less than 2 s for either set of rules, one process.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figures import alternate, make_parser, timed, workspace

from autospine.cleaning.clean import RuleSet, clean_labels, clean_mask
from autospine.dataset.cases import load_dataset
from autospine.labels.schemes import SCHEMES
from autospine.preprocessing.transforms.base import CaseData
from autospine.preprocessing.transforms.spatial import Fit
from autospine.volumes import read_mask

TARGET = 2.0
COUNT, ROWS, COLUMNS = 100, 640, 512
SPECKS = 0.002  # of the pixels
SPIDER = SCHEMES["spider"]
RULES: tuple[RuleSet, ...] = ("published", "adapted")


def main() -> None:
    options = make_parser(__doc__).parse_args()
    with workspace(options.dataset) as (dataset, _):
        masks = slices(dataset)
    labelled = np.count_nonzero(masks) / masks.size
    print(f"{len(masks)} masks of {COLUMNS} x {ROWS}, {labelled:.0%} labelled, {SPECKS:.1%} specks")
    for rules in RULES:
        print(f"  {rules}: {clean_mask(masks, SPIDER, rules).report.line}")
    runs = {
        f"{rules}, to semantic4": lambda rules=rules: timed(lambda: clean_mask(masks, SPIDER, rules)) for rules in RULES
    }
    runs |= {
        f"{rules}, own labels": lambda rules=rules: timed(lambda: clean_labels(masks, SPIDER, rules)) for rules in RULES
    }
    for name, seconds in alternate(runs, options.repeats).items():
        print(f"{name:42s} {seconds}  target {TARGET:g} s")


def slices(dataset: Path) -> np.ndarray:
    """`(100, 640, 512)` labelled slices with specks."""
    labelled_slices: list[np.ndarray] = []
    for case in load_dataset(dataset).annotated:
        volume = read_mask(str(case.mask))
        start = CaseData(np.zeros((1, *volume.array.shape), np.float32), volume.array, volume.spacing)
        mask = Fit(rows=ROWS, columns=COLUMNS).for_case(start).apply(start).mask
        labelled_slices += [plane for plane in mask if plane.any()]
    masks = np.stack([labelled_slices[k % len(labelled_slices)] for k in range(COUNT)])
    random = np.random.default_rng(0)
    specks = random.random(masks.shape) < SPECKS
    masks[specks] = random.choice([0, 1, 5, 100, 203, 99], np.count_nonzero(specks))
    return masks


if __name__ == "__main__":
    main()
