r"""What the critic adds: the generator of `wgan_resunet` trained with and without it, for the same number of updates.

Both are trained on phantoms that are re-sliced axially (isotropic series, rows averaged to thick slices, square pixels
in-plane), with the same weights at the start and the same batches, and tested on other phantoms and, where
`--subregions` names its folder, on one real cut-out whose bodies and arches were annotated apart. Prints Dice, HD95,
mean IoU and PPV of each structure, mean over axial slices; the critic's Wasserstein estimate over time; and the
difference that the critic makes, with its bootstrap interval over patients: "WORSE" where all of the interval is.

Example:
    python benchmarks/wgan.py --updates 600 --cases 14 --subregions ../shared/data/subregions
"""

from __future__ import annotations

import csv
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from figures import machine

from autospine import volumes
from autospine.core import registry
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import patient_and_sequence
from autospine.evaluation.statistics import bootstrap
from autospine.inference.model import find_models
from autospine.inference.predict import segment
from autospine.inference.predictor import Predictor
from autospine.labels.conversion import conversion, get_scheme
from autospine.planning.plan import Plans
from autospine.planning.run import PlanRequest, make_plans
from autospine.training.run import TrainRequest, train
from trainers.wgan_resunet.foramen import derive_foramen
from trainers.wgan_resunet.tables import STRUCTURES, AxialScore, score_slices, summarise
from trainers.wgan_resunet.trainer import WGANResUNetTrainer

THICK_MM = 4.0  # between axial slices
SHOWN = ("dice", "hd95_mm", "mean_iou", "ppv")
PARTS = {"with": True, "without": False}  # a critic
EPOCHS = 10  # lines of the critic's estimate
Scores = dict[str, list[AxialScore]]  # by case


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=600, help="of each generator (default: 600)")
    parser.add_argument("--cases", type=int, default=14, help="phantoms (default: 14)")
    parser.add_argument("--test", type=int, default=5, help="of these, held out (default: 5)")
    parser.add_argument("--phantom", choices=("small", "full"), default="full", help="their grid (default: full)")
    parser.add_argument("--width", type=float, default=0.25, help="share of the widths (default: 0.25)")
    parser.add_argument("--clusters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of the phantoms and the weights")
    parser.add_argument("--device", default="cpu", help="where to train (default: cpu)")
    parser.add_argument("--subregions", type=Path, help="folder of the annotated cut-out")
    options = parser.parse_args()
    if not 2 <= options.test < options.cases - 1:
        parser.error("--test needs at least 2, and --cases 2 more")
    print(machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        ids = write_axial(folder / "data", options)
        work = plan(folder, ids[: -options.test], ids[-options.test :])
        found = {part: measure(work, part, options) for part in PARTS}
        for place, scored in (("phantoms", 0), ("subregions", 1)):
            scores = {part: each[scored] for part, each in found.items()}
            if scores["with"]:
                print_scores(place, scores)


# Data.


def write_axial(root: Path, options: Namespace) -> list[str]:
    """Phantoms of isotropic series, cut into axial slices; gives their ids."""
    from autospine.phantom.case import make_case
    from autospine.phantom.series import Size, find_series

    ids: list[str] = []
    for index in count():
        if find_series(options.seed, index).sequence != "t2_SPACE":
            continue
        case = make_case(options.seed, index, Size(options.phantom))
        image, labels, fine = reslice(case.image, case.labels, case.spacing)
        write(root / "images" / f"{case.id}.mha", image, fine)
        write(root / "masks" / f"{case.id}.mha", labels, fine)
        ids.append(case.id)
        if len(ids) == options.cases:
            return ids
    return ids


def reslice(
    image: np.ndarray, labels: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Axial slices: rows averaged to thick ones (labels: their majority), in-plane pixels as fine as the columns.

    Args:
        image: `(slices, rows, columns)`.
        labels: The same.
        spacing: mm.
    """
    from scipy.ndimage import zoom

    from autospine.phantom.render import majority_slices, mean_slices

    times = max(round(THICK_MM / spacing[1]), 1)
    rows = image.shape[1] // times * times
    thick = mean_slices(np.moveaxis(image[:, :rows].astype(np.float32), 1, 0), times)
    majority = majority_slices(np.moveaxis(labels[:, :rows], 1, 0), times)
    factors = (1, spacing[0] / spacing[2], 1)
    image = np.moveaxis(zoom(thick, factors, order=1, grid_mode=True, mode="nearest"), 0, 1)
    labels = np.moveaxis(zoom(majority, factors, order=0, grid_mode=True, mode="nearest"), 0, 1)
    return image, labels, (spacing[2], spacing[1] * times, spacing[2])


def write(path: Path, array: np.ndarray, spacing: tuple[float, float, float]) -> None:
    """As an axial series is stored: slice by slice from below, in LPS."""
    import SimpleITK as sitk  # noqa: N813

    path.parent.mkdir(parents=True, exist_ok=True)
    file_order = np.ascontiguousarray(array[:, ::-1].transpose(1, 2, 0))  # (superior, posterior, left)
    image = sitk.GetImageFromArray(file_order)
    image.SetSpacing((spacing[0], spacing[2], spacing[1]))
    sitk.WriteImage(image, str(path), useCompression=True)


def plan(folder: Path, training: Sequence[str], test: Sequence[str]) -> WorkFolder:
    """The plan 2d_axial, with one fold that tests on `test`."""
    splits = folder / "splits.json"
    splits.write_text(json.dumps({"train": list(training), "validation": list(test)}))
    request = PlanRequest(folder / "data", folder / "work", ("2d_axial",), splits=splits, workers=1, device="cpu")
    outcome = make_plans(request)
    reasons = [reason.because for reason in outcome.plans[0].reasons]
    if "the series is axial: its slices are kept" not in reasons:
        raise SystemExit("the planner does not see that these series are axial")
    print(f"{len(training)} phantoms to train, {len(test)} to test, patch {outcome.plans[0].patch}")
    return WorkFolder(folder / "work")


# Trainings.


def measure(work: WorkFolder, part: str, options: Namespace) -> tuple[Scores, Scores]:
    """Train one generator; scores of the test phantoms and of the real cut-out."""
    kind = register(part, options)
    request = TrainRequest(
        work.root,
        kind.name,
        "2d_axial",
        epochs=EPOCHS,
        seed=options.seed,
        device=options.device,
    )
    train(request)
    folder = work.model(kind.name, "2d_axial", "adapted", "0")
    if PARTS[part]:
        print_critic(folder / "metrics.csv")
    known = work.load_sources()
    tested = [path.name.removesuffix(".mha") for path in sorted((folder / "validation").glob("*.mha"))]
    trainer = kind(Plans.load(work.plans).get("2d_axial", work.plans), kind.recipe_named(None))
    scores = {}
    for case in tested:
        reference = volumes.read_mask(known[case].mask)
        derived = trainer.reference(reference.array, case)
        found = volumes.read_mask(folder / "validation" / f"{case}.mha").array
        scores[case] = scored(found, derived, reference.spacing)
    return scores, real(folder, options) if options.subregions else {}


def register(part: str, options: Namespace) -> type[WGANResUNetTrainer]:
    """Make a trainer of one width known, with or without its critic."""
    name = f"wgan_{part}"
    adapted = WGANResUNetTrainer.recipes["adapted"]
    recipe = replace(
        adapted,
        iterations_per_epoch=max(options.updates // EPOCHS, 1),
        batch=options.batch,
        options={"adversarial": PARTS[part], "clusters": options.clusters},
    )
    kind = {
        "name": name,
        "recipes": {"adapted": recipe},
        "widths": tuple(max(int(width * options.width) // 4 * 4, 4) for width in WGANResUNetTrainer.widths),
        "width_options": lambda self: (self.shape(),),
        "__doc__": WGANResUNetTrainer.__doc__,
    }
    trainer = type(f"With{part}", (WGANResUNetTrainer,), kind)
    globals()[trainer.__name__] = trainer
    registry.BUILT_IN["trainers"][name] = f"{__name__}:{trainer.__name__}"
    return trainer


def real(model: Path, options: Namespace) -> Scores:
    """The cut-out as it is, with the bodies and arches that were annotated, and the canal in vertebrae's rows."""
    image = volumes.read_image(next(options.subregions.glob("*T2w.nii.gz")))
    parts = volumes.read_mask(next(options.subregions.glob("*seg-subreg*"))).array
    reference = derive_foramen(parts, get_scheme("spineps"))
    models = find_models([model])
    found = segment([image], Predictor(models, torch.device(options.device)))
    predicted = conversion(found.scheme, get_scheme("axial4")).apply(found.mask)
    return {"subregions": scored(predicted, reference, image.spacing)}


def scored(found: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> list[AxialScore]:
    return score_slices(found, reference, spacing, tuple(STRUCTURES), ignore_label=255)


# What is printed.


def print_critic(path: Path) -> None:
    """Mean score of annotated masks minus that of predicted ones, epoch by epoch."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    estimates = [float(row["wasserstein"]) for row in rows]
    print("Wasserstein estimate by epoch: " + " ".join(f"{value:.2f}" for value in estimates))
    print(f"the critic {'separates' if min(estimates) > 0 else 'DOES NOT separate'} annotated from predicted")


def print_scores(place: str, found: Mapping[str, Scores]) -> None:
    print(
        f"\n{place} ({len(found['with'])} cases)\n{'structure':20s} {'critic':8s}" + "".join(f"{m:>10s}" for m in SHOWN)
    )
    for label, name in STRUCTURES.items():
        for part, cases in found.items():
            summary = summarise((score for scores in cases.values() for score in scores), label)
            print(f"{name:20s} {part:8s}" + "".join(f"{summary.means[m]:10.3f}" for m in SHOWN))
    if len(found["with"]) < 2:
        return
    for metric in SHOWN:
        differences = {
            patient_and_sequence(case)[0]: [case_mean(found["with"][case], metric) - case_mean(each, metric)]
            for case, each in found["without"].items()
        }
        interval = bootstrap(differences)
        worse = -interval.low if metric == "hd95_mm" else interval.high
        verdict = "no worse" if worse >= 0 else "WORSE"
        low, high = f"{interval.low:+.3f}", f"{interval.high:+.3f}"
        print(f"with minus without, {metric:9s} {interval.mean:+.3f}  (95 % {low} to {high}): {verdict}")


def case_mean(scores: Sequence[AxialScore], metric: str) -> float:
    """Mean over the structures of their means over slices."""
    means = [summarise(scores, label).means[metric] for label in STRUCTURES]
    return float(np.nanmean(means))


if __name__ == "__main__":
    main()
