"""A tiny data set on disk, a work folder with tiny networks, and jobs on it: seconds instead of minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autospine.core.workspace import WorkFolder
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import Encoding, SemanticClass
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan, Plans
from autospine.planning.run import PlanRequest, make_plans
from autospine.planning.splits import Fold
from autospine.planning.training_domain import TrainingDomain
from autospine.preprocessing.grid import Grid
from autospine.preprocessing.normalisation import Normalisation
from autospine.training.job import TrainingJob

torch.set_num_threads(1)  # tiny tensors: threads that wait for one another cost more than they give

SHAPE = (6, 72, 36)  # slices, rows, columns
SPACING = (4.0, 3.0, 3.0)
DISTANCE_ROWS = 10  # rows between neighbouring vertebrae
RIGHT_POSTERIOR_INFERIOR = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
INTENSITIES = {0: 40.0, 1: 160.0, 2: 90.0, 3: 230.0}  # background, vertebra, disc, canal
IDS = tuple(f"{number}_{'t1' if number % 2 else 't2'}" for number in range(1, 7))


def spine_mask(shift: int = 0, levels: int = 5) -> np.ndarray:
    """Vertebrae 1 to `levels` from the lowest up, the disc under each, and the canal behind them."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, :, 24:27] = 100
    for level in range(1, levels + 1):
        top = SHAPE[1] - 14 - shift - DISTANCE_ROWS * level
        mask[1:5, top : top + 7, 10:22] = level
        mask[1:5, top + 7 : top + 10, 11:21] = 200 + level
    return mask


def spine_image(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Tissue by class, with a little noise."""
    kind = np.select([mask == 0, mask < 100, mask == 100], [0, 1, 3], default=2)
    image = np.array(list(INTENSITIES.values()))[kind]
    return (image + np.random.default_rng(seed).normal(0, 8, mask.shape)).astype(np.float32)


def write_array(path: Path, array: np.ndarray, spacing: tuple[float, ...] = SPACING) -> Path:
    """A file whose canonical array is `array` (its slices reversed: they are stored left to right)."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array[::-1].copy())
    image.SetSpacing(tuple(spacing)[::-1])
    image.SetDirection(RIGHT_POSTERIOR_INFERIOR)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_dataset(root: Path, ids: tuple[str, ...] = IDS) -> Path:
    """Images and masks in SPIDER's layout; case k's spine lies k % 3 rows higher."""
    for number, case_id in enumerate(ids):
        mask = spine_mask(number % 3)
        write_array(root / "images" / f"{case_id}.mha", spine_image(mask, number))
        write_array(root / "masks" / f"{case_id}.mha", mask)
    return root


def whole_mask(shift: int = 0) -> np.ndarray:
    """The spine with posterior elements behind the canal: vertebrae are whole."""
    mask = spine_mask(shift)
    for level in range(1, 6):
        top = SHAPE[1] - 14 - shift - DISTANCE_ROWS * level
        mask[1:5, top + 1 : top + 6, 28:33] = level
    return mask


def write_sources(root: Path) -> tuple[Path, Path, Path]:
    """Data sets of whole vertebrae with discs and canal, of bodies (1 = L5), and of discs, of one kind of spine."""
    roots = root / "whole", root / "bodies", root / "discs"
    for number, source in enumerate(roots):
        for k in range(3):
            mask, own = whole_mask(k), spine_mask(k)
            kept = (own < 100, own > 200)[number - 1] if number else mask >= 0
            name = f"{k + 1}_t2.mha"
            write_array(source / "images" / name, spine_image(mask, 10 * number + k))
            write_array(source / "masks" / name, np.where(kept, own if number else mask, 0))
    return roots


def make_joint_work(root: Path) -> WorkFolder:
    """A planned and preprocessed work folder of three data sets that annotate different things."""
    request = PlanRequest(
        write_sources(root), root / "work", labels=("bodies=bodies",), folds=3, workers=1, device="cpu"
    )
    make_plans(request)
    work = WorkFolder(root / "work")
    Plans(tuple(map(shrunk, Plans.load(work.plans).plans))).save(work.plans)
    return work


def shrunk(plan: Plan) -> Plan:
    """The plan with a network and a patch for tests."""
    return replace(
        plan,
        patch=(1, 64, 32) if plan.dimension == 2 else (4, 64, 32),
        batch=2,
        network=tiny_shape(plan.dimension, plan.encoding.channels),
    )


def tiny_shape(dimension: int, out_channels: int) -> NetworkShape:
    two = (1,) * dimension, (1, 2, 2)[-dimension:]
    return NetworkShape(dimension, 1, out_channels, (4, 8), ((3,) * dimension,) * 2, two)


def make_work(root: Path) -> WorkFolder:
    """A planned and preprocessed work folder (root/work) of a tiny data set (root/data)."""
    names = ("2d_sagittal", "3d_volume")
    request = PlanRequest(write_dataset(root / "data"), root / "work", names, folds=3, workers=1, device="cpu")
    make_plans(request)
    work = WorkFolder(root / "work")
    Plans(tuple(map(shrunk, Plans.load(work.plans).plans))).save(work.plans)
    return work


def plan_of(work: WorkFolder, dimension: int) -> Plan:
    return Plans.load(work.plans).get({2: "2d_sagittal", 3: "3d_volume"}[dimension], work.plans)


def make_job(work: WorkFolder, plan: Plan, folder: Path, **changes: object) -> TrainingJob:
    """Four training cases, one validation case, on the CPU."""
    settings: dict = {
        "work": work.root,
        "folder": folder,
        "cases": work.preprocessed(plan.name),
        "fold": Fold(IDS[:4], IDS[4:5]),
        "fold_name": "0",
        "device": torch.device("cpu"),
        "workers": 1,
        **changes,
    }
    return TrainingJob(**settings)


def ordered_encoding(
    levels: int = 5, offset_axes: tuple[int, ...] = (1, 2), intervertebral_distance_mm: float = 30
) -> Encoding:
    """Vertebrae and discs as ordered labels, the canal as a class."""
    numbers = tuple(range(1, levels + 1))
    vertebra = SemanticClass("vertebra", numbers, numbers)
    disc = SemanticClass("disc", tuple(200 + k for k in numbers), numbers)
    return Encoding(
        (vertebra, disc, SemanticClass("spinal canal", (100,))),
        numbers,
        offset_axes,
        intervertebral_distance_mm,
    )


def make_plan(encoding: Encoding, dimension: int = 2, **changes: object) -> Plan:
    """Return a plan without a data set behind it, which keeps every case's own spacing."""
    wide = TrainingDomain((0.1,) * 3, (10.0,) * 3, (1.0,) * 3, (1000.0,) * 3, ("unknown",))
    plan = Plan(
        name="2d_sagittal" if dimension == 2 else "3d_volume",
        view_axis=0 if dimension == 2 else None,
        grid=Grid((None, None, None)),
        patch=(1, 64, 32) if dimension == 2 else (4, 64, 32),
        batch=2,
        network=tiny_shape(dimension, encoding.channels),
        normalisation=Normalisation(),
        scheme=get_scheme("spider"),
        encoding=encoding,
        channels=("image",),
        mirror_axes=(),
        training_domain=wide,
        memory_gib=1.0,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]
