"""Times the scoring of a case against MONAI's metrics on the same two masks, and measures the memory of both.

The masks are a phantom's spine with 19 labels on a grid of the size wanted; the prediction is the same spine, bent by
about a millimetre. AutoSpine scores all its figures, those of all vertebrae and all discs together included. MONAI
does Dice, the symmetric surface distance, the 95th percentile of the Hausdorff distance and the surface Dice with
subvoxels, of the 19 labels, each metric called on the one-hot masks; making these is not counted. Each run is a
process of its own, imports left out of the seconds, not of the memory. Target: at least 10 times faster, and less
than 1 GB for the larger pair. MONAI takes 11 GB for that one; --small leaves it out.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from figures import Spread, call, machine, print_ratio, ratios, timed

if TYPE_CHECKING:
    from autospine.evaluation.structures import LabelScore

SHAPES = {"small": (39, 305, 305), "large": (120, 640, 640)}
CASE = (1, 106)  # seed and number of a phantom with nine vertebrae, nine discs and the canal
SHIFT_MM, KNOTS = 1.0, (4, 12, 12)
TIMES, MEMORY_GB = 10, 1.0
METRICS = ("DiceMetric", "SurfaceDistanceMetric", "HausdorffDistanceMetric(95)", "SurfaceDiceMetric")


@dataclass(frozen=True)
class Measured:
    """One run in a process of its own."""

    seconds: dict[str, float]
    peak_gb: float
    dice: float

    @property
    def total(self) -> float:
        """All its parts."""
        return sum(self.seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind (default: 5)")
    parser.add_argument("--small", action="store_true", help="the smaller pair only")
    parser.add_argument("--child", nargs=2, metavar=("PART", "PAIR"), help="for the benchmark's own processes")
    options = parser.parse_args()
    if options.child and options.child[0] == "make":
        write_pair(Path(options.child[1]))
        return
    if options.child:
        print(json.dumps(asdict(LIBRARIES[options.child[0]](*read(Path(options.child[1]))))))
        return
    print(machine())
    with TemporaryDirectory() as folder:
        for name in list(SHAPES)[: 1 if options.small else None]:
            pair = Path(folder) / f"{name}.npz"
            # In a process of its own too: on Linux a process inherits the peak memory of the one that starts it.
            print(call([sys.executable, __file__, "--child", "make", str(pair)]), end="")
            compare(pair, options.repeats)


def write_pair(path: Path) -> None:
    """Store prediction, reference and spacing."""
    from scipy.ndimage import zoom

    from autospine.phantom.case import make_case
    from autospine.phantom.series import Size

    shape = SHAPES[path.stem]
    case = make_case(*CASE, Size.FULL)
    rng = np.random.default_rng(0)
    mm = np.array(sorted(case.spacing, reverse=True))  # slices are the coarsest axis
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij", sparse=True)
    straight, bent = [], []
    for axis, (old, new) in enumerate(zip(case.labels.shape, shape, strict=True)):
        field = zoom(rng.normal(0, SHIFT_MM, KNOTS), np.divide(shape, KNOTS), order=1)
        plain = (grid[axis] + 0.5) * old / new - 0.5
        straight.append(nearest(plain, old))
        bent.append(nearest(plain + field / mm[axis], old))
    prediction, reference = case.labels[tuple(bent)], case.labels[tuple(np.broadcast_arrays(*straight))]
    spacing = mm * case.labels.shape / np.array(shape)
    size, voxel = " x ".join(map(str, shape)), " x ".join(f"{step:.2f}" for step in spacing)
    print(f"{size} voxels of {voxel} mm, {np.count_nonzero(np.bincount(reference.ravel())) - 1} labels")
    np.savez(path, prediction=prediction, reference=reference, spacing=spacing)


def nearest(places: np.ndarray, size: int) -> np.ndarray:
    return np.clip(np.rint(places), 0, size - 1).astype(np.int32)


def read(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    with np.load(path) as stored:
        spacing = tuple(float(mm) for mm in stored["spacing"])
        return stored["prediction"], stored["reference"], spacing


def compare(pair: Path, repeats: int) -> None:
    found: dict[str, list[Measured]] = {library: [] for library in LIBRARIES}
    for _ in range(repeats):
        for library, runs in found.items():
            output = call([sys.executable, __file__, "--child", library, str(pair)])
            runs.append(Measured(**json.loads(output.splitlines()[-1])))
    seconds = {library: Spread(tuple(run.total for run in runs)) for library, runs in found.items()}
    for library, runs in found.items():
        most = max(run.peak_gb for run in runs)
        print(f"  {library:12s}{seconds[library]}   memory {most:.2f} GB   mean Dice {runs[0].dice:.6f}")
    for name in METRICS:
        print(f"    {name:30s}{Spread(tuple(run.seconds[name] for run in found['monai']))}")
    print_ratio("  MONAI / AutoSpine", ratios(seconds["monai"], seconds["autospine"]), f"at least {TIMES}")
    most = max(run.peak_gb for run in found["autospine"])
    print(f"{'  memory of AutoSpine, GB':42s} {most:8.2f}    target below {MEMORY_GB:g}")


def peak() -> float:
    """The most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def autospine(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> Measured:
    from autospine.evaluation.mask_pair import MaskPair
    from autospine.evaluation.structures import score_case
    from autospine.labels.schemes import SCHEMES

    spider = SCHEMES["spider"]
    little = np.ones((2, 3, 4), np.uint8)
    score_case(
        MaskPair(little, np.roll(np.pad(little, 1), 1, 2)[1:-1, 1:-1, 1:-1], (1, 1, 1), (spider, spider))
    )  # imports
    scores: list[LabelScore] = []
    seconds = timed(lambda: scores.extend(score_case(MaskPair(prediction, reference, spacing, (spider, spider)))))
    dice = float(np.mean([score.dice for score in scores if not score.all_levels]))
    return Measured({"score_case": seconds}, peak(), dice)


def monai(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> Measured:
    import scipy.spatial  # noqa: F401
    import torch
    from monai import metrics

    warnings.simplefilter("ignore")
    labels = np.unique(reference)
    predicted, expected = (
        torch.stack([torch.from_numpy(mask == label) for label in labels])[None] for mask in (prediction, reference)
    )
    measures = (
        metrics.DiceMetric(include_background=False),
        metrics.SurfaceDistanceMetric(symmetric=True),
        metrics.HausdorffDistanceMetric(percentile=95),
        metrics.SurfaceDiceMetric([1.0] * (len(labels) - 1), use_subvoxels=True),
    )
    seconds = {}
    for name, metric in zip(METRICS, measures, strict=True):
        options = {} if metric is measures[0] else {"spacing": spacing}
        seconds[name] = timed(lambda metric=metric, options=options: metric(predicted, expected, **options))
    return Measured(seconds, peak(), float(measures[0].aggregate()))


LIBRARIES = {"autospine": autospine, "monai": monai}

if __name__ == "__main__":
    main()
