r"""Train MedFusionNet for some minutes and check what its search for weights promises.

Prints: whether every score of the search equals brute force on the members' whole probabilities, the difference to the
better member on the test subset with its interval, the search's peak memory, and the time of an ensemble's
prediction over the sum of its members' times.

Example:
    python benchmarks/ensemble.py ../shared/data/t2 --minutes 40
    python benchmarks/ensemble.py --cases 24 --minutes 20
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from figures import Spread, alternate, call, command, make_parser, print_ratio, ratios, timed, workspace

SEARCH_GB, TIME_RATIO = 1.0, 1.0  # targets


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=20, help="of the whole training (default: 20)")
    parser.add_argument("--members", help="default: all four")
    parser.add_argument("--recipe", default="adapted")
    parser.add_argument("--fold", default="0")
    parser.add_argument("--cases", type=int, default=24, help="of the phantom (default: 24)")
    parser.add_argument("--size", default="small", help="of the phantom (default: small)")
    parser.add_argument("--keep", type=Path, metavar="WORK", help="work folder that stays (default: none)")
    parser.add_argument("--peak", type=Path, nargs=2, metavar=("FOLDER", "COUNT"), help="used by itself")
    options = parser.parse_args()
    if options.peak:
        print(peak_of_search(options.peak[0], int(str(options.peak[1]))))
        return
    with ExitStack() as stack:
        dataset = options.dataset or phantom(stack.enter_context(TemporaryDirectory()), options)
        dataset, folder = stack.enter_context(workspace(dataset))
        work = options.keep or folder / "work"
        call(command("plan", dataset, work, "--plans", "2d_sagittal"))
        extra = ["--members", options.members] if options.members else []
        which = ["--trainer", "medfusionnet", "--recipe", options.recipe, "--fold", options.fold]
        line = command("train", work, *which, *extra, "--minutes", options.minutes)
        print(f"autospine_train --minutes {options.minutes:g}: {timed(lambda: call(line)) / 60:.2f} minutes")
        (model,) = (work / "models" / "medfusionnet").glob(f"*/{options.recipe}/fold_{options.fold}")
        print((model / "weights.md").read_text())
        report(work, model, options)


def phantom(temporary: str, options: Namespace) -> Path:
    dataset = Path(temporary) / "phantom"
    call(command("phantom", dataset, "--cases", options.cases, "--seed", 1, "--size", options.size))
    return dataset


def report(work: Path, model: Path, options: Namespace) -> None:
    """The four figures."""
    result = json.loads((model / "difference.json").read_text())
    best = result["members"][result["best_member"]]
    print(f"{result['subset']}: mean IoU {result['ensemble']:.4f}, {result['best_member']} alone {best['iou']:.4f}")
    interval = "no interval: one patient"
    if best["low"] is not None:
        interval = f"95 % {best['low']:+.4f} to {best['high']:+.4f}, {best['patients']} patients"
    print(f"difference {best['difference']:+.4f} ({interval})")
    members = sorted(model.glob("member_*"))
    stored = model / "probabilities" / "validation"
    line = [sys.executable, __file__, "--peak", stored, str(len(members))]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    peak, seconds = map(float, done.stdout.split())
    print(f"search over {len(list(stored.glob('*.json')))} images: {seconds:.1f} s")
    print(f"peak memory of the search: {peak:.2f} GB  target below {SEARCH_GB:g}")
    print(f"largest difference to brute force: {difference_to_brute_force(work, model):.2g}  target 0")
    above, below = prediction_times(work, model, options.repeats)
    print_ratio("ensemble's time over the sum of members'", ratios(above, below), f"at most {TIME_RATIO:g}")


def peak_of_search(stored: Path, count: int) -> str:
    """GB that a process of its own takes at most, PyTorch's import included, and the search's seconds."""
    from autospine.ensemble.search import search_pairs
    from autospine.ensemble.stored_image import StoredImage

    images = [StoredImage(stored, path.stem) for path in sorted(stored.glob("*.json"))]
    start = time.perf_counter()
    search_pairs(images, count)
    seconds = time.perf_counter() - start
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20} {seconds}"


def difference_to_brute_force(work: Path, model: Path) -> float:
    """Of the mean IoU over the validation images, every pair and weight; everything of a case in memory at once."""
    from torch import device

    from autospine.core import registry
    from autospine.core.workspace import WorkFolder
    from autospine.ensemble.search import all_pairs, pair_grid, search_pairs, shares
    from autospine.ensemble.selection import predict_members
    from autospine.ensemble.stored_image import StoredImage, reference_classes
    from autospine.inference.model import read_model
    from autospine.inference.predictor import Predictor
    from autospine.planning.split_strategies import Split
    from autospine.planning.splits import Subset
    from autospine.training.validation import images_of
    from autospine.volumes import read_mask

    fold = Split.load(model).fold
    subset = Subset("validation", fold.validation, fold.slices.validation if fold.slices else None)
    models = [read_model(path) for path in sorted(model.glob("member_*"))]
    # The stored images hold the members in the trainer's order.
    stored = sorted((model / "probabilities" / "validation").glob("*.json"))
    images = [StoredImage(path.parent, path.stem) for path in stored]
    models.sort(key=lambda model: images[0].record.members.index(model.card.weights))
    sources, count = WorkFolder(work).load_sources(), len(models)
    card = models[0].card
    trainer = registry.load("trainers", card.trainer)(card.plan, card.recipe)
    found = search_pairs(images, count)
    names = [image.name for image in images]
    wanted = dict.fromkeys(blend for pair in all_pairs(count) for blend in pair_grid(*pair, count))
    differences = [0.0]
    for case in subset.cases:
        with TemporaryDirectory() as temporary:
            paths = [Path(temporary) / f"{k}.npy" for k in range(count)]
            predict_members([Predictor([model], device("cpu")) for model in models], sources[case].images, paths)
            full = np.stack([np.load(path) for path in paths])
        reference = reference_classes(read_mask(sources[case].mask).array, trainer, sources[case].mask)
        for name, window in images_of(case, subset, models[0].card.plan.view_axis):
            inside = full[(slice(None), slice(None), *window)]
            for blend in wanted:
                expected = whole_image_iou(inside, reference[window], shares(blend))
                differences.append(abs(expected - float(found[blend].iou[names.index(name)])))
    return max(differences)


def whole_image_iou(full: np.ndarray, reference: np.ndarray, weights: tuple[float, ...]) -> float:
    """Mean IoU of `(members, classes, ...)` probabilities blended at once."""
    blended = sum(np.float32(w) * p.astype(np.float32) for w, p in zip(weights, full, strict=True) if w)
    answer, known = blended.argmax(axis=0), reference >= 0
    ious = []
    for label in range(1, full.shape[1]):
        predicted, expected = (answer == label) & known, (reference == label) & known
        if (predicted | expected).any():
            ious.append((predicted & expected).sum() / (predicted | expected).sum())
    return float(np.mean(ious))


def prediction_times(work: Path, model: Path, repeats: int) -> tuple[Spread, Spread]:
    """Of one scan: by the ensemble, and by its members one after another; all four where it is one alone."""
    import torch

    from autospine.core.workspace import WorkFolder
    from autospine.inference.model import find_models, read_model
    from autospine.inference.predict import segment
    from autospine.inference.predictor import Predictor
    from autospine.volumes import read_image

    models = find_models([model])
    if len(models) == 1:
        members = sorted(model.glob("member_*"))
        models = [replace(read_model(path), weight=1 / len(members)) for path in members]
    volume = read_image(next(iter(WorkFolder(work).load_sources().values())).images[0])
    device = torch.device("cpu")
    together = Predictor(models, device)
    singles = [Predictor([model], device) for model in models]

    def members_alone() -> float:
        return sum(timed(lambda single=single: segment([volume], single)) for single in singles)

    def ensemble() -> float:
        return timed(lambda: segment([volume], together))

    ensemble()
    found = alternate({"ensemble": ensemble, "members": members_alone}, repeats)
    return found["ensemble"], found["members"]


if __name__ == "__main__":
    main()
