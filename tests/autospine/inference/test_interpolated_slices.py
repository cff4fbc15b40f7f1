"""Plans that interpolate slices, from the data set to the mask on the scan's own grid."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.core.workspace import WorkFolder
from autospine.inference.aggregator import Aggregator
from autospine.inference.levels.decode import decode
from autospine.inference.model import Model
from autospine.inference.predict import predict
from autospine.inference.predictor import Predictor
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import Encoding, plain_encoding
from autospine.planning.plan import Plan, Plans
from autospine.planning.run import PlanRequest, make_plans
from autospine.planning.splits import Fold
from autospine.preprocessing.grid import Grid, SliceInterpolation, case_grid
from autospine.preprocessing.storage import CaseStore
from autospine.preprocessing.transforms.base import TransformSettings
from autospine.reconstruction.grid import SliceGrid
from autospine.training.run import train_fold
from autospine.volumes import read_image, read_mask
from tests.autospine.volumes.test_dicom import write_series
from tests.paths import ROOT
from tests.spines import draw
from tests.tiny import (
    SPACING,
    make_job,
    make_plan,
    ordered_encoding,
    shrunk,
    spine_image,
    spine_mask,
    tiny_shape,
    write_array,
)
from tests.toys import QUICK, BrightnessTrainer, ToyTrainer
from trainers.unet import UNetTrainer

CPU = torch.device("cpu")
OWN, COARSER = (None, None, None), (None, 3.7, 2.5)
NAMES = ("2d_sagittal", "slice_reconstruction")


def pair(spacing: tuple[float | None, ...], encoding: Encoding | None = None) -> tuple[Plan, Plan]:
    """The same plan without and with interpolated slices."""
    encoding = encoding or plain_encoding(get_scheme("spider"), (1, 100))
    plan = make_plan(encoding, grid=Grid(spacing))  # type: ignore[arg-type]
    return plan, replace(plan, grid=replace(plan.grid, slice_interpolation=SliceInterpolation(1.0)))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_array(tmp_path / "1_t2.mha", spine_image(spine_mask()))


@pytest.mark.parametrize("spacing", [OWN, COARSER], ids=["own pixels", "other pixels"])
def test_the_mask_is_exactly_that_of_the_measured_slices(tmp_path: Path, scan: Path, bright, spacing) -> None:
    """A network that sees one slice says of a measured one what it says without the others."""
    masks = []
    for name, plan in zip(NAMES, pair(spacing), strict=True):
        bright(tmp_path / name, plan)
        masks.append(predict(scan, tmp_path / name, device="cpu"))
    assert masks[0].mask.any()
    np.testing.assert_array_equal(masks[1].mask, masks[0].mask)
    assert masks[1].labels == masks[0].labels


@pytest.mark.parametrize("spacing", [OWN, COARSER], ids=["own pixels", "other pixels"])
def test_probabilities_too(tmp_path: Path, scan: Path, save, spacing) -> None:
    stored = []
    for name, plan in zip(NAMES, pair(spacing), strict=True):
        model = save(tmp_path / name, ToyTrainer(plan, replace(QUICK, learns="classes")))
        image = read_image(scan)
        Predictor([model], CPU).predict(image.array[None], image.spacing, tmp_path / f"{name}.npy")
        stored.append(np.load(tmp_path / f"{name}.npy").astype(np.float32))
    assert stored[0].shape == (3, *spine_mask().shape)
    np.testing.assert_allclose(stored[1], stored[0], atol=1e-3)


@pytest.mark.parametrize("view_axis", [1, None], ids=["axial", "volume"])
def test_other_views_of_interpolated_slices(tmp_path: Path, scan: Path, bright, view_axis: int | None) -> None:
    plain, interpolated = pair(OWN)
    patch = (64, 1, 32) if view_axis else (4, 64, 32)
    dimension = 2 if view_axis else 3
    masks = []
    for name, plan in zip(NAMES, (plain, interpolated), strict=True):
        network = make_plan(plain.encoding, dimension).network
        bright(tmp_path / name, replace(plan, view_axis=view_axis, patch=patch, network=network))
        masks.append(predict(scan, tmp_path / name, device="cpu").mask)
    assert masks[0].any()
    np.testing.assert_array_equal(masks[1], masks[0])


def test_steps_of_a_recipe_are_undone_on_interpolated_slices(tmp_path: Path, scan: Path, save) -> None:
    masks = []
    recipe = replace(
        BrightnessTrainer.recipes["only"],
        transforms=(
            TransformSettings("centre_crop", {"columns": 0.8}),
            TransformSettings("resize", {"rows": 50.0}),
        ),
        patch=(48, 24),
    )
    for name, plan in zip(NAMES, pair(OWN), strict=True):
        save(tmp_path / name, BrightnessTrainer(plan, recipe))
        masks.append(predict(scan, tmp_path / name, device="cpu").mask)
    assert masks[0].any()
    np.testing.assert_array_equal(masks[1], masks[0])


@pytest.mark.parametrize("spacing", [OWN, (None, 1.5, 2.5)], ids=["own pixels", "other pixels"])
def test_levels_are_counted_on_all_slices_and_answered_on_the_measured(spacing) -> None:
    """What a network without a fault would say of a drawn spine, slice by slice, gives the spine's own labels."""
    spine, own = draw(), (4.0, 2.0, 2.0)
    encoding = ordered_encoding(9, intervertebral_distance_mm=32.0)
    grid = case_grid(Grid(spacing, slice_interpolation=SliceInterpolation(1.0)), spine.labels.shape, own)
    labels = grid.resample_mask(spine.labels, None)
    values = np.zeros((encoding.channels, *grid.shape), np.float32)
    train_ids = encoding.train_ids(labels, "spine")
    semantic = encoding.class_of_index()[train_ids]
    values[: encoding.semantic_channels] = np.arange(encoding.semantic_channels)[:, None, None, None] == semantic
    indices = np.indices(grid.shape)[1:]
    for value, centroid in spine.centres.items():
        inside = labels == value
        for channel, axis in enumerate(encoding.offset_axes):
            voxels = indices[axis - 1][inside] * grid.spacing[axis]
            centre = (centroid[axis] + 0.5) * own[axis] - 0.5 * grid.spacing[axis]
            offsets = (centre - voxels) / encoding.intervertebral_distance_mm
            values[encoding.semantic_channels + channel][inside] = offsets
    values[-len(encoding.levels) :] = 1 / len(encoding.levels)
    aggregator = Aggregator(encoding, grid, spine.labels.shape, 0)
    aggregator.run((k, values[:, k : k + 3]) for k in range(0, grid.shape[0], 3))
    decoded = decode(aggregator.decoder_input(grid.spacing, (0, grid.shape[1] - 1)), encoding)
    assert decoded.labels.shape == grid.shape
    answer = aggregator.on_input_grid(decoded.labels)
    if spacing == OWN:
        np.testing.assert_array_equal(answer, spine.labels)
    else:
        assert (answer == spine.labels).mean() > 0.99
        assert set(np.unique(answer)) == set(np.unique(spine.labels))


# From the data set to the mask, with inputs that are not as they should be.

SKIPPED = (3, 2)  # slice, vertebra


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    """Planned and preprocessed: a usual case, one slice, fine slices, a mask that skips a slice, one in one slice."""
    root = tmp_path_factory.mktemp("interpolated")
    skipping, single = spine_mask(), spine_mask()
    skipping[(np.indices(skipping.shape)[0] == SKIPPED[0]) & (skipping == SKIPPED[1])] = 0
    single[(np.indices(single.shape)[0] != 2) & (single == 5)] = 0
    cases = {
        "1_t2": (spine_mask(), SPACING),
        "2_t2": (spine_mask()[2:3], SPACING),
        "3_t2": (spine_mask(1), (1.2, 3.0, 3.0)),
        "4_t2": (skipping, SPACING),
        "5_t2": (single, SPACING),
    }
    for number, (name, (mask, spacing)) in enumerate(cases.items()):
        write_array(root / "data/images" / f"{name}.mha", spine_image(mask, number), spacing)
        write_array(root / "data/masks" / f"{name}.mha", mask, spacing)
    make_plans(PlanRequest(root / "data", root / "work", NAMES, folds=2, workers=1, device="cpu"))
    return WorkFolder(root / "work")


def stores(work: WorkFolder, case_id: str) -> list[CaseStore]:
    return [CaseStore(work.preprocessed(name), case_id) for name in NAMES]


@pytest.mark.parametrize("case_id", ["1_t2", "2_t2", "3_t2", "4_t2", "5_t2"])
def test_measured_slices_are_stored_as_without_interpolating(work: WorkFolder, case_id: str) -> None:
    plain, interpolated = stores(work, case_id)
    slices = interpolated.record.slice_grid
    assert slices == SliceGrid(
        plain.record.shape[0], pytest.approx(plain.record.spacing[0]), 4 if case_id in "1_t2 4_t2 5_t2" else 1
    )
    assert plain.record.slice_grid is None
    assert interpolated.record.shape == (slices.count, *plain.record.shape[1:])
    assert interpolated.record.spacing == pytest.approx((slices.spacing_mm, *plain.record.spacing[1:]))
    assert interpolated.image.shape == (1, *interpolated.record.shape)
    np.testing.assert_array_equal(interpolated.image[:][:, :: slices.subdivisions], plain.image[:])
    np.testing.assert_array_equal(interpolated.mask[:][:: slices.subdivisions], plain.mask[:])
    assert [label.value for label in interpolated.record.labels] == [label.value for label in plain.record.labels]


def test_the_plan_says_which_cases_are_interpolated(work: WorkFolder) -> None:
    plan = Plans.load(work.plans).get("slice_reconstruction", work.plans)
    figures = [reason.figures for reason in plan.reasons if "interpolated" in reason.decision]
    assert figures == ["1 + 0 in 2_t2; 6 + 0 in 3_t2; 6 + 15 in 1_t2, 4_t2, 5_t2"]


def test_a_mask_that_skips_a_slice_has_none_there_and_fades_beside_it(work: WorkFolder) -> None:
    mask = stores(work, "4_t2")[1].mask[:]
    shown = (mask == SKIPPED[1]).any(axis=(1, 2))
    assert shown[2 * 4]
    assert not shown[3 * 4]
    assert shown[4 * 4]
    assert not shown[3 * 4 - 1] and not shown[3 * 4 + 1]


def test_a_vertebra_in_one_slice_fades_within_half_a_gap(work: WorkFolder) -> None:
    mask = stores(work, "5_t2")[1].mask[:]
    shown = np.flatnonzero((mask == 5).any(axis=(1, 2)))
    assert 8 in shown
    assert shown.min() >= 6
    assert shown.max() <= 10


def models(work: WorkFolder, save, folder: Path) -> list[Model]:
    plans = [shrunk(Plans.load(work.plans).get(name, work.plans)) for name in NAMES]
    return [save(folder / plan.name, BrightnessTrainer(plan, BrightnessTrainer.recipes["only"])) for plan in plans]


@pytest.mark.parametrize("case_id", ["1_t2", "2_t2", "3_t2", "4_t2"])
def test_every_case_gets_the_mask_of_the_plan_without_interpolating(
    tmp_path: Path, work: WorkFolder, save, case_id: str
) -> None:
    image = work.load_sources()[case_id].images[0]
    plain, interpolated = (predict(image, model.folder, device="cpu").mask for model in models(work, save, tmp_path))
    assert plain.any()
    np.testing.assert_array_equal(interpolated, plain)


def test_slightly_uneven_slices_are_taken_as_even(
    tmp_path: Path, work: WorkFolder, save, caplog: pytest.LogCaptureFixture
) -> None:
    """Their reader says so; gaps that are off by more, and missing slices, it refuses."""
    write_series(tmp_path / "series", (0, 4, 8.3, 12, 16, 20))
    with caplog.at_level(logging.WARNING):
        masks = [
            predict(tmp_path / "series", model.folder, device="cpu").mask for model in models(work, save, tmp_path)
        ]
    assert "off an even grid" in caplog.text
    assert masks[0].any()
    np.testing.assert_array_equal(masks[1], masks[0])


@pytest.mark.parametrize("steps", [(), (TransformSettings("box_masks"), TransformSettings("resize", {"rows": 64.0}))])
def test_a_trainer_learns_from_interpolated_slices(tmp_path: Path, work: WorkFolder, toys, steps) -> None:
    """One that knows nothing of them; validated on its cases' own grids."""
    plan = shrunk(Plans.load(work.plans).get("slice_reconstruction", work.plans))
    trainer = ToyTrainer(plan, replace(QUICK, epochs=1, transforms=steps))
    job = make_job(work, plan, tmp_path / "model", fold=Fold(("1_t2", "4_t2"), ("5_t2",)))
    evaluation = train_fold(trainer, job)
    assert evaluation is not None
    assert read_mask(tmp_path / "model/validation/5_t2.mha").array.shape == spine_mask().shape
    if steps:
        record = CaseStore(job.cases / trainer.recipe.transforms_hash(), "1_t2").record
        assert record.slice_grid == CaseStore(job.cases, "1_t2").record.slice_grid


MEMORY = """
import sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from autospine.inference.model import read_model
from autospine.inference.predictor import Predictor
model = read_model(Path(sys.argv[1]))
image = np.random.default_rng(0).normal(100, 20, (1, 39, 305, 305)).astype(np.float32)
answer = Predictor([model], torch.device("cpu")).predict(image, (2.0, 1.25, 1.25))
assert answer.decoded.labels.shape == (39, 305, 305)
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(int(peak.split()[1]) / 2**20)
"""


# Not ru_maxrss: a child starts with the peak of the process that forked it.
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_39_slice_volume_at_1_mm_stays_below_its_memory(tmp_path: Path, save) -> None:
    """Eight classes and transforms that are inverted: the inverse is what takes memory."""
    _, plan = pair(OWN, plain_encoding(get_scheme("lumbar7"), (1, 2, 3, 4, 5, 6, 7)))
    plan = replace(plan, network=tiny_shape(2, 8), patch=(1, 256, 256))
    steps = (
        TransformSettings("centre_crop", {"columns": 0.9}),
        TransformSettings("resize", {"rows": 256, "columns": 256}),
    )
    recipe = replace(UNetTrainer.recipes["adapted"], transforms=steps)
    model = save(tmp_path / "model", UNetTrainer(plan, recipe))
    command = [sys.executable, "-c", MEMORY, str(model.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.5
