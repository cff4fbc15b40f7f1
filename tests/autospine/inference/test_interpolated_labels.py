"""Interpolated slices are segmented where something comes of it: objects hang together across them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.inference.model import Model
from autospine.inference.panoptic import panoptic
from autospine.inference.predict import segment
from autospine.inference.predictor import Predictor
from autospine.inference.run import PredictRequest, predict_scans
from autospine.labels.schemes import SCHEMES
from autospine.planning.plan import Plan
from autospine.preprocessing.grid import Grid, SliceInterpolation
from autospine.preprocessing.run import preprocess_image
from autospine.volumes import read_image, read_mask
from tests.autospine.inference.test_interpolated_slices import COARSER, OWN, pair
from tests.autospine.inference.test_panoptic import as_volume
from tests.tiny import SPACING, ordered_encoding, spine_image, spine_mask, write_array
from tests.toys import QUICK, BrightnessTrainer, ToyTrainer

CPU = torch.device("cpu")
COUNT = 21  # slices about 1 mm apart: 6 measured, 4 mm apart


@pytest.fixture
def image() -> np.ndarray:
    return spine_image(spine_mask())


def interpolating(spacing: tuple[float | None, ...] = OWN) -> Plan:
    return pair(spacing)[1]


@pytest.mark.parametrize("interpolated", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_the_network_sees_interpolated_slices_only_where_they_count(
    tmp_path: Path, image: np.ndarray, save, interpolated: bool, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = pair(OWN, ordered_encoding())[1] if ordered else interpolating()
    model = save(tmp_path / "model", ToyTrainer(plan, replace(QUICK, patch=(96, 48))))
    predictor, seen = Predictor([model], CPU), []
    forward = predictor.groups[0]._forward

    def counted(windows: torch.Tensor) -> torch.Tensor:
        seen.append(len(windows))
        return forward(windows)

    monkeypatch.setattr(predictor.groups[0], "_forward", counted)
    answer = predictor.predict(image[None], SPACING, None, interpolated)
    assert sum(seen) == (COUNT if ordered or interpolated else 6)
    assert (answer.interpolated_labels is not None) == interpolated


@pytest.mark.parametrize("spacing", [OWN, COARSER], ids=["own pixels", "other pixels"])
@pytest.mark.parametrize("view_axis", [0, 1, None], ids=["sagittal", "axial", "volume"])
@pytest.mark.parametrize("ordered", [False, True])
def test_asking_for_interpolated_labels_changes_nothing_else(
    tmp_path: Path, image: np.ndarray, save, spacing, view_axis: int | None, ordered: bool
) -> None:
    plan = pair(spacing, ordered_encoding() if ordered else None)[1]
    if view_axis != 0:
        network = (
            replace(plan.network, dimension=3, kernels=((3,) * 3,) * 2, strides=((1, 1, 1), (1, 2, 2)))
            if view_axis is None
            else plan.network
        )
        patch = (4, 64, 32) if view_axis is None else (16, 1, 32)
        plan = replace(plan, view_axis=view_axis, patch=patch, network=network)
    predictor = Predictor([save(tmp_path / "model", ToyTrainer(plan, QUICK))], CPU)
    stores = [tmp_path / "without.npy", tmp_path / "with.npy"]
    without, having = (
        predictor.predict(image[None], SPACING, store, interpolated)
        for store, interpolated in zip(stores, (False, True), strict=True)
    )
    np.testing.assert_array_equal(having.decoded.labels, without.decoded.labels)
    assert having.confidence == pytest.approx(without.confidence, abs=1e-4)
    kept = [np.load(store).astype(np.float32) for store in stores]
    np.testing.assert_allclose(kept[1], kept[0], atol=1e-3)  # batches differ, and with them rounding
    assert without.interpolated_labels is None
    assert having.interpolated_labels is not None
    assert having.interpolated_labels.shape == (COUNT, *image.shape[1:])
    np.testing.assert_array_equal(having.interpolated_labels[::4], having.decoded.labels)


def test_interpolated_labels_are_those_of_every_slice(tmp_path: Path, image: np.ndarray, bright) -> None:
    plan = interpolating()
    answer = Predictor([bright(tmp_path / "model", plan)], CPU).predict(image[None], SPACING, interpolated=True)
    interpolated = preprocess_image(image[None], SPACING, plan)[0]
    np.testing.assert_array_equal(answer.interpolated_labels, np.where(interpolated > 0, 100, 0))


def test_a_scan_of_fine_slices_has_no_interpolated_labels(tmp_path: Path, image: np.ndarray, bright) -> None:
    predictor = Predictor([bright(tmp_path / "model", interpolating())], CPU)
    assert predictor.predict(image[None], (1.2, 3.0, 3.0), interpolated=True).interpolated_labels is None
    assert predictor.predict(image[None, :1], SPACING, interpolated=True).interpolated_labels is None


def test_slices_resampled_first_have_no_interpolated_labels(tmp_path: Path, image: np.ndarray, bright) -> None:
    plan = replace(
        interpolating(), grid=Grid((3.0, None, None), (0.0,) * 3, slice_interpolation=SliceInterpolation(1.0))
    )
    answer = Predictor([bright(tmp_path / "model", plan)], CPU).predict(image[None], SPACING, interpolated=True)
    assert answer.interpolated_labels is None
    assert answer.decoded.labels.any()


# Objects.


def leaning() -> np.ndarray:
    """Label 3 in two measured slices, further down in the second; the interpolated slices between show how it leans."""
    labels = np.zeros((9, 40, 20), np.uint8)
    for k, top in enumerate((10, 12, 14, 16, 18)):
        labels[2 + k, top : top + 5, 5:12] = 3
    return labels


def test_one_leaning_object_is_one_where_interpolated_slices_join_it(tmp_path: Path) -> None:
    labels = np.concatenate([np.zeros((2, 40, 20), np.uint8), leaning()[:7]])[:9]  # from slice 4 to slice 8
    mask = as_volume(labels[::4], tmp_path)
    assert len(panoptic(mask, SCHEMES["spider"]).segments) == 2
    found = panoptic(mask, SCHEMES["spider"], labels)
    (segment,) = found.segments
    assert (segment.instance, segment.value, segment.voxels) == (1, 3, 70)
    np.testing.assert_array_equal(found.instances.array, mask.array > 0)


def test_objects_that_only_interpolated_slices_show_are_not_counted(tmp_path: Path) -> None:
    labels = np.zeros((9, 40, 20), np.uint8)
    labels[1:3, 2:4, 2:4] = 1  # nowhere on a measured slice
    labels[4:9, 10:15, 5:12] = 3
    labels[4, 30:32, 5:12] = 3
    found = panoptic(as_volume(labels[::4], tmp_path), SCHEMES["spider"], labels)
    assert [(each.instance, each.value, each.voxels) for each in found.segments] == [(1, 3, 70), (2, 3, 14)]
    assert found.instances.array.max() == 2


@pytest.mark.parametrize("slices", [1, 6])
def test_labels_without_interpolated_slices_are_the_mask(tmp_path: Path, slices: int) -> None:
    mask = as_volume(spine_mask()[-slices:], tmp_path)
    plain, again = (panoptic(mask, SCHEMES["spider"], labels) for labels in (None, mask.array))
    assert plain.segments == again.segments
    np.testing.assert_array_equal(plain.instances.array, again.instances.array)


def bridged() -> np.ndarray:
    """Two bright blocks, one in each of two slices, with a dark row between: cubic interpolation lights it up."""
    image = np.full((6, 72, 36), 40, np.float32)
    image[2, 10:15, 12:20] = 230
    image[3, 16:21, 12:20] = 230
    image[2:4, 15, 12:20] = 40.93
    image[[1, 4], 15, 12:20] = 0
    return image


def saved(folder: Path, save) -> Model:
    plan = interpolating()
    plan = replace(plan, grid=replace(plan.grid, slice_interpolation=SliceInterpolation(1.0, "cubic")))
    return save(folder, BrightnessTrainer(plan, BrightnessTrainer.recipes["only"]))


def test_predict_joins_objects_across_interpolated_slices(tmp_path: Path, save) -> None:
    scan = write_array(tmp_path / "7_t2.mha", bridged())
    model = saved(tmp_path / "model", save)
    outcome = predict_scans(
        PredictRequest((scan,), tmp_path / "out", (model.folder,), device="cpu", workers=1, panoptic=True)
    )
    assert outcome.failures == []
    mask = read_mask(tmp_path / "out/7_t2.mha")
    assert [int(mask.array[k].sum()) for k in (1, 2, 3, 4)] == [0, 4000, 4000, 0]
    assert len(panoptic(mask, SCHEMES["spider"]).segments) == 2
    table = json.loads((tmp_path / "out/panoptic/7_t2.json").read_text())
    assert [each["voxels"] for each in table["segments"]] == [80]
    numbers = read_mask(tmp_path / "out/panoptic/7_t2.mha")
    np.testing.assert_array_equal(numbers.array, mask.array > 0)


def test_interpolated_labels_go_into_the_masks_scheme(tmp_path: Path, save) -> None:
    model = saved(tmp_path / "model", save)
    scan = read_image(write_array(tmp_path / "7_t2.mha", bridged()))
    found = segment([scan], Predictor([model], CPU), "semantic4", interpolated=True)
    assert found.interpolated_labels is not None
    np.testing.assert_array_equal(found.interpolated_labels[::4], found.mask)
    assert set(np.unique(found.interpolated_labels)) == {0, 2}
