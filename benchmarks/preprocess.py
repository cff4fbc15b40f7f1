"""Time preprocessing against reading every file once plus one SimpleITK resample of the whole set.

Both start new processes, as the commands do. The reference reads with SimpleITK and resamples images linearly and
masks by nearest neighbour onto the same spacing, one case after the other, SimpleITK's threads as they come.
Target: at most 1.5 times that, at the plan's spacing and at others.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from figures import Spread, call, command, make_parser, print_ratio, ratios, timed, workspace

if TYPE_CHECKING:
    import SimpleITK

    from autospine.planning.plan import Plan

TARGET = 1.5
SHARES = (1.0, 0.8, 1.3)  # of the plan's in-plane spacing


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--workers", type=int, default=0, help="processes at once (default: one per core)")
    parser.add_argument("--child", nargs=2, metavar=("PART", "SHARE"), help="for the benchmark's own processes")
    parser.add_argument("--work", type=Path, help="for the benchmark's own processes")
    options = parser.parse_args()
    if options.child:
        part, share = options.child[0], float(options.child[1])
        print(json.dumps(child(part, share, options.dataset, options.work, options.workers)))
        return
    with workspace(options.dataset) as (dataset, folder):
        work = folder / "work"
        call(command("plan", dataset, work))
        for share in SHARES:
            compare(dataset, work, share, options.workers, options.repeats)
        seconds = []
        for _ in range(options.repeats):
            shutil.rmtree(work)
            seconds.append(timed(lambda: call(command("plan", dataset, work))))
        print(f"{'whole autospine_plan command':42s} {Spread(tuple(seconds))}")


def compare(dataset: Path, work: Path, share: float, workers: int, repeats: int) -> None:
    found: dict[str, list[float]] = {"preprocess": [], "reference": []}
    for _ in range(repeats):
        for part, seconds in found.items():
            line = [sys.executable, __file__, str(dataset), "--child", part, str(share)]
            seconds.append(json.loads(call([*line, "--work", str(work), "--workers", str(workers)])))
    preprocessing, reference = (Spread(tuple(seconds)) for seconds in found.values())
    print(f"at {share:g} of the plan's spacing")
    print(f"  {'preprocessing':40s} {preprocessing}")
    print(f"  {'read once and SimpleITK resample':40s} {reference}")
    print_ratio("  ratio", ratios(preprocessing, reference), f"{TARGET:g}")


def child(part: str, share: float, dataset: Path, work: Path, workers: int) -> float:
    """Seconds of one part, imports left out on both sides."""
    from autospine.core.machine import workers_for
    from autospine.dataset.cases import load_dataset
    from autospine.planning.plan import Plans
    from autospine.preprocessing.run import preprocess

    plan = Plans.load(work / "plans.json").plans[0]
    slices, rows, columns = plan.grid.spacing
    spacing = (slices, rows and rows * share, columns and columns * share)
    plan = replace(plan, name="benchmark", grid=replace(plan.grid, spacing=spacing))
    cases = load_dataset(dataset).annotated
    for library in ("SimpleITK", "blosc2", "scipy.ndimage"):
        import_module(library)
    if part == "reference":
        return timed(lambda: [reference(path, plan) for case in cases for path in (*case.images, case.mask)])
    target = work / "benchmark"
    shutil.rmtree(target, ignore_errors=True)
    return timed(lambda: preprocess(cases, [plan], target, workers_for(workers)))


def reference(path: Path, plan: Plan) -> SimpleITK.Image:
    """Read one file and resamples it as users of SimpleITK do."""
    import SimpleITK as sitk  # noqa: N813

    from autospine.volumes import read_header

    image = sitk.ReadImage(str(path))
    axes, _ = read_header(path).canonical_axes()
    spacing, size = list(image.GetSpacing()), list(image.GetSize())
    own = (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])
    for axis, wanted in zip(axes, plan.grid.spacing_for(own), strict=True):
        size[axis] = max(round(size[axis] * spacing[axis] / wanted), 1)
        spacing[axis] = wanted
    kind = sitk.sitkNearestNeighbor if path.parent.name == "masks" else sitk.sitkLinear
    grid = (image.GetOrigin(), spacing, image.GetDirection())
    return sitk.Resample(image, size, sitk.Transform(), kind, *grid)


if __name__ == "__main__":
    main()
