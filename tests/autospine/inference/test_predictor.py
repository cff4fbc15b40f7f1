from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from autospine.core.errors import UserError
from autospine.inference.model import find_models
from autospine.inference.predict import predict, segment
from autospine.inference.predictor import Predictor
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import plain_encoding
from autospine.preprocessing.grid import Grid, case_grid
from autospine.preprocessing.run import preprocess_image
from autospine.volumes import read_image, read_mask
from autospine.volumes.resampling import resize
from tests.tiny import SPACING, make_plan, spine_image, spine_mask, write_array

CPU = torch.device("cpu")
COPIES = list(itertools.product(itertools.permutations(range(3)), itertools.product([False, True], repeat=3)))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_array(tmp_path / "1_t2.mha", spine_image(spine_mask()))


def smooth(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=shape)
    return (100 + 300 * ndimage.gaussian_filter(noise, 2)).astype(np.float32)


@pytest.mark.parametrize("dimension", [2, 3])
def test_all_48_copies_of_a_scan_get_the_same_mask_in_space(tmp_path: Path, random_model, dimension: int) -> None:
    """Every order of a file's axes, each of them in both directions; oblique besides."""
    grid = Grid((4.0, 2.5, 2.5), tolerance=(0.0, 0.0, 0.0))
    models = [random_model(tmp_path / "model", dimension, grid=grid)]
    predictor = Predictor(models, CPU)
    image = sitk.GetImageFromArray(smooth((40, 30, 7)))  # file axes: x 7, y 30, z 40
    image.SetSpacing((4.4, 3.0, 3.0))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.1, 0.05, -0.08)
    image.SetDirection(turn.GetMatrix())
    image.SetOrigin((-13.0, 41.0, 7.0))
    expected = None
    for number, (order, flips) in enumerate(COPIES):
        copy = sitk.Flip(sitk.PermuteAxes(image, order), flips)
        path = tmp_path / f"{number}.mha"
        sitk.WriteImage(copy, str(path))
        found = segment([read_image(path)], predictor)
        found.save(tmp_path / f"mask_{number}.nii.gz", tmp_path / f"{number}.json")
        mask = sitk.ReadImage(str(tmp_path / f"mask_{number}.nii.gz"))
        assert mask.GetSize() == copy.GetSize()
        back = sitk.GetArrayFromImage(sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor))
        expected = back if expected is None else expected
        assert expected.any()
        assert (back != expected).sum() == 0
        points = {each.value: each.centroid_mm for each in found.labels}
        if number == 0:
            expected_points = points
        assert set(points) == set(expected_points)
        for value, point in points.items():
            assert point == pytest.approx(expected_points[value], abs=0.02)
    assert len(COPIES) == 48


def test_a_brighter_voxel_is_what_the_network_says_it_is(tmp_path: Path, scan: Path, bright) -> None:
    """On the scan's own grid nothing is lost on the way: the mask is the image's threshold."""
    bright(tmp_path / "model")
    found = predict(scan, tmp_path / "model", device="cpu")
    array = read_image(scan).array
    normalised = preprocess_image(array[None], SPACING, find_models([tmp_path / "model"])[0].card.plan)[0]
    np.testing.assert_array_equal(found.mask, np.where(normalised > 0, 100, 0))
    (report,) = found.labels
    assert (report.value, report.anatomy, report.name) == (100, "canal", "spinal canal")
    assert report.voxels == int((found.mask > 0).sum())
    assert report.volume_ml == pytest.approx(report.voxels * 4 * 3 * 3 / 1000, abs=1e-3)
    assert 0.9 < report.confidence <= 1


@pytest.mark.parametrize("dimension", [2, 3])
def test_another_grid_and_back(tmp_path: Path, scan: Path, bright, dimension: int) -> None:
    plan = make_plan(plain_encoding(get_scheme("spider"), (1, 100)), dimension, grid=Grid((3.0, 2.0, 2.0), (0.0,) * 3))
    bright(tmp_path / "model", plan)
    found = predict(scan, tmp_path / "model", device="cpu")
    array = read_image(scan).array
    assert found.mask.shape == array.shape
    assert ((found.mask > 0) == (array > array.mean())).mean() > 0.97


@pytest.mark.parametrize("spacing", [(6.0, 5.0, 4.5), (3.0, 2.0, 2.5)], ids=["coarser", "finer"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_streamed_labels_are_those_of_the_whole_array(tmp_path: Path, random_model, dimension: int, spacing) -> None:
    """Outputs go back from a coarser or finer plan chunk by chunk as they do at once, to the last voxel.

    Onto a finer grid as logits, which leave a border where the network sees it; averaged as probabilities.
    """
    grid = Grid(spacing, (0.0,) * 3)
    encoding = plain_encoding(get_scheme("spider"), (1, 2, 3, 4, 5, 100))
    predictor = Predictor([random_model(tmp_path / "model", dimension, encoding=encoding, grid=grid)], CPU)
    image, (group,) = spine_image(spine_mask())[None], predictor.groups
    resampled = preprocess_image(image, SPACING, predictor.plan)
    outputs = group.outputs(resampled, case_grid(predictor.plan.grid, image.shape[1:], SPACING).spacing)
    whole = np.concatenate([values for _, values in outputs], axis=group.axis + 1)
    scores = np.log(whole) if spacing[0] > SPACING[0] else whole
    expected = np.array([0, *encoding.values])[resize(scores, image.shape[1:]).argmax(axis=0)]
    streamed = predictor.predict(image, SPACING).decoded.labels
    assert len(np.unique(expected)) > 2
    assert np.count_nonzero(streamed != expected) == 0


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("edge", [128, 129, 130, 131])
def test_a_coarse_plan_leaves_borders_between_its_voxels(tmp_path: Path, bright, dimension: int, edge: int) -> None:
    """A half-plane that begins at a quarter of a coarse voxel comes back where it was, within a tenth of one."""
    image = np.zeros((1, 5, 128, 256), np.float32)
    image[..., edge:] = 100
    encoding = plain_encoding(get_scheme("spider"), (1, 100))
    grid, patch = Grid((None, 1.0, 1.0)), (1, 32, 64) if dimension == 2 else (4, 32, 64)
    plan = make_plan(encoding, dimension, grid=grid, patch=patch, pixel_mm=1.0)
    predictor = Predictor([bright(tmp_path / "model", plan)], CPU)
    labels = predictor.predict(image, (4.0, 0.25, 0.25)).decoded.labels
    borders = (labels == 0).sum(axis=2)
    np.testing.assert_array_equal(borders, edge)  # to the voxel of a quarter of a coarse one


@pytest.mark.parametrize("dimension", [2, 3])
def test_windows_smaller_than_the_case_and_larger_than_it(tmp_path: Path, scan: Path, bright, dimension) -> None:
    """A network that sees single voxels answers alike through any window."""
    masks = []
    for number, (slices, *across) in enumerate([(2, 20, 12), (4, 64, 32), (9, 100, 80)]):
        patch = (1 if dimension == 2 else slices, *across)
        plan = make_plan(plain_encoding(get_scheme("spider"), (1, 100)), dimension, patch=patch)
        bright(tmp_path / str(number), plan)
        masks.append(predict(scan, tmp_path / str(number), device="cpu").mask)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("same", [True, False])
def test_probabilities_are_stored_for_every_class(tmp_path: Path, scan: Path, random_model, same: bool) -> None:
    grid = Grid((None, None, None)) if same else Grid((4.0, 2.0, 2.0), (0.0,) * 3)
    models = [random_model(tmp_path / "model", grid=grid)]
    volume = read_image(scan)
    found = segment([volume], Predictor(models, CPU), probabilities=tmp_path / "p.npy")
    stored = np.load(tmp_path / "p.npy", allow_pickle=False)
    assert stored.dtype == np.float16
    assert stored.shape == (len(found.classes), *volume.array.shape)
    assert found.classes == ("background", "vertebra", "disc", "spinal canal")
    np.testing.assert_allclose(stored.astype(np.float32).sum(axis=0), 1, atol=5e-3)
    values = stored.astype(np.float32)
    near = values[3] >= values.max(axis=0) - 2e-3  # float16 makes ties
    assert near[found.mask == 100].all()
    assert not list(tmp_path.glob(".*"))


def test_several_models_are_averaged(tmp_path: Path, scan: Path, random_model) -> None:
    """Class probabilities of two models together are the mean of each one's own."""
    volume, stored = read_image(scan), []
    singles = [random_model(tmp_path / f"fold_{seed}", seed=seed) for seed in (0, 1)]
    for number, models in enumerate([[singles[0]], [singles[1]], singles]):
        path = tmp_path / f"{number}.npy"
        found = segment([volume], Predictor(models, CPU), probabilities=path)
        stored.append(np.load(path).astype(np.float32))
    assert not np.allclose(stored[0], stored[1], atol=0.01)
    np.testing.assert_allclose(stored[2], (stored[0] + stored[1]) / 2, atol=2e-3)
    assert found.models == tuple(model.name for model in singles)
    assert [m.folder.name for m in find_models([tmp_path])] == ["fold_0", "fold_1"]


@pytest.mark.parametrize("alike", [True, False])
def test_weighted_models_are_blended_whatever_they_see(tmp_path: Path, scan: Path, save, alike: bool) -> None:
    """Of one patch and preprocessing in one pass, of different ones on the plan's grid, chunk by chunk."""
    from autospine.preprocessing.transforms.base import TransformSettings
    from tests.tiny import ordered_encoding
    from tests.toys import QUICK, ToyTrainer

    steps = (TransformSettings("centre_crop", {"columns": 0.8}), TransformSettings("resize", {"rows": 50}))
    recipes = [QUICK] * 3 if alike else [QUICK, replace(QUICK, patch=(40, 24)), replace(QUICK, transforms=steps)]
    plan, weights = make_plan(ordered_encoding()), (0.5, 0.2, 0.3)
    singles = [save(tmp_path / str(k), ToyTrainer(plan, recipe), k) for k, recipe in enumerate(recipes)]
    blend = [replace(model, weight=2 * weight) for model, weight in zip(singles, weights, strict=True)]
    volume, stored = read_image(scan), []
    assert len(Predictor(blend, CPU).groups) == (1 if alike else 3)
    for number, models in enumerate([*([model] for model in singles), blend]):
        path = tmp_path / f"{number}.npy"
        segment([volume], Predictor(models, CPU), probabilities=path)
        stored.append(np.load(path).astype(np.float32))
    expected = sum(w * p for w, p in zip(weights, stored[:3], strict=True))
    np.testing.assert_allclose(stored[3], expected, atol=2e-3)
    assert all(np.abs(stored[3] - single).max() > 0.05 for single in stored[:3])


def test_a_second_run_gives_the_same(tmp_path: Path, scan: Path, random_model) -> None:
    random_model(tmp_path / "model")
    first, second = (predict(scan, tmp_path / "model", device="cpu") for _ in range(2))
    np.testing.assert_array_equal(first.mask, second.mask)
    assert first.labels == second.labels


def test_the_scan_is_not_changed(tmp_path: Path, scan: Path, random_model) -> None:
    random_model(tmp_path / "model")
    volume = read_image(scan)
    before = volume.array.copy()
    predict(volume, tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(volume.array, before)


def test_masks_in_another_scheme(tmp_path: Path, scan: Path, bright) -> None:
    bright(tmp_path / "model")
    own = predict(scan, tmp_path / "model", device="cpu")
    assert own.scheme.name == "spider"
    for name in ("totalspineseg", "semantic4", "spineps"):
        scheme = get_scheme(name)
        other = predict(scan, tmp_path / "model", device="cpu", labels=name)
        canal = next(v for v, anatomy in scheme.anatomies.items() if anatomy.key == "canal")
        np.testing.assert_array_equal(other.mask, np.where(own.mask == 100, canal, 0))
        assert other.scheme == scheme
        assert [(each.value, each.anatomy) for each in other.labels] == [(canal, "canal")]


def test_an_unknown_scheme_is_a_users_error(tmp_path: Path, scan: Path, bright) -> None:
    bright(tmp_path / "model")
    with pytest.raises(UserError, match="runes"):
        predict(scan, tmp_path / "model", device="cpu", labels="runes")


def test_a_model_with_a_scheme_of_its_own_answers_in_it_where_the_data_sets_has_no_place(
    tmp_path: Path, scan: Path, save
) -> None:
    from tests.tiny import ordered_encoding
    from tests.toys import QUICK, ToyTrainer

    class Semantic(ToyTrainer):
        scheme = "semantic4"

    trainer = Semantic(make_plan(ordered_encoding()), QUICK)
    save(tmp_path / "model", trainer)
    found = predict(scan, tmp_path / "model", device="cpu")
    assert found.scheme.name == "semantic4"
    assert set(np.unique(found.mask)) <= {0, *trainer.encoding.values}


@pytest.mark.parametrize("what", ["array", "two channels", "missing file"])
def test_what_cannot_be_segmented_is_said(tmp_path: Path, scan: Path, bright, what: str) -> None:
    bright(tmp_path / "model")
    volume = read_image(scan)
    given, problem = {
        "array": (volume.array, "needs one grid"),
        "two channels": ([volume, volume], "has 2 channels, the model needs 1"),
        "missing file": (tmp_path / "nothing.mha", "nothing.mha"),
    }[what]
    with pytest.raises(UserError, match=problem):
        predict(given, tmp_path / "model", device="cpu")


def test_an_array_with_its_spacing_is_segmented_as_the_file(tmp_path: Path, scan: Path, bright) -> None:
    bright(tmp_path / "model")
    volume, expected = read_image(scan), predict(scan, tmp_path / "model", device="cpu")
    found = predict(volume.array, tmp_path / "model", device="cpu", spacing=volume.spacing)
    assert np.array_equal(found.mask, expected.mask)
    assert [one.volume_ml for one in found.labels] == [one.volume_ml for one in expected.labels]


def test_two_channels_go_in_together(tmp_path: Path, scan: Path, save) -> None:
    from tests.tiny import ordered_encoding
    from tests.toys import QUICK, ToyTrainer

    plan = make_plan(ordered_encoding(), channels=("t1", "t2"))
    plan = replace(plan, network=replace(plan.network, in_channels=2))
    save(tmp_path / "model", ToyTrainer(plan, QUICK))
    volume = read_image(scan)
    other = volume.with_array(volume.array[::-1].copy())
    one = predict([volume, volume], tmp_path / "model", device="cpu").mask
    two = predict([volume, other], tmp_path / "model", device="cpu").mask
    assert one.shape == volume.array.shape
    assert (one != two).any()


def test_a_constant_image_is_an_answer_with_a_warning(tmp_path: Path, bright) -> None:
    bright(tmp_path / "model")
    scan = write_array(tmp_path / "flat.mha", np.full((5, 40, 30), 7, np.float32))
    found = predict(scan, tmp_path / "model", device="cpu")
    assert not found.mask.any()
    assert any("constant" in warning for warning in found.warnings)


def test_masks_are_written_onto_the_scans_own_grid(tmp_path: Path, scan: Path, bright) -> None:
    bright(tmp_path / "model")
    found = predict(scan, tmp_path / "model", device="cpu")
    found.save(tmp_path / "mask.nii.gz", tmp_path / "mask.json")
    written = read_mask(tmp_path / "mask.nii.gz")
    assert written.geometry.difference(read_image(scan).geometry) is None
    np.testing.assert_array_equal(written.array, found.mask)


def test_probabilities_on_a_full_disk_are_a_users_error(small_disk: Path, random_model) -> None:
    """Not the end of the process, which writing to a mapped file without blocks would be."""
    (small_disk / "other").write_bytes(bytes(180_000))
    models = [random_model(small_disk.parent / "model")]
    with pytest.raises(UserError, match=r"p\.npy: the disk is full; free some space"):
        Predictor(models, CPU).predict(spine_image(spine_mask())[None], SPACING, small_disk / "p.npy")
    assert [path.name for path in small_disk.iterdir()] == ["other"]
