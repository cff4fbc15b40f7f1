from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from autospine.inference.panoptic import panoptic
from autospine.inference.run import PredictRequest, predict_scans
from autospine.labels.schemes import SCHEMES
from autospine.volumes import Volume, read_mask
from tests.tiny import SPACING, spine_image, spine_mask, write_array

SPIDER = SCHEMES["spider"]


def as_volume(mask: np.ndarray, folder: Path) -> Volume:
    return read_mask(write_array(folder / "mask.nii.gz", mask))


def test_every_vertebra_disc_and_the_canal_is_one_object(tmp_path: Path) -> None:
    mask = as_volume(spine_mask(), tmp_path)
    found = panoptic(mask, SPIDER)
    assert [each.value for each in found.segments] == [1, 2, 3, 4, 5, 100, 201, 202, 203, 204, 205]
    assert [each.instance for each in found.segments] == list(range(1, 12))
    for each in found.segments:
        assert np.array_equal(found.instances.array == each.instance, mask.array == each.value)


def test_the_table_says_where_and_how_large(tmp_path: Path) -> None:
    mask = as_volume(spine_mask(), tmp_path)
    lowest = panoptic(mask, SPIDER).segments[0]
    assert (lowest.name, lowest.level, lowest.anatomy) == ("L5", 1, "vertebra:1")
    assert lowest.voxels == 4 * 7 * 12
    np.testing.assert_allclose(lowest.extent_mm, np.array([4, 7, 12]) * SPACING, atol=0.01)
    np.testing.assert_allclose(lowest.volume_ml, 4 * 7 * 12 * np.prod(SPACING) / 1000, atol=1e-3)
    middle = np.argwhere(mask.array == 1).mean(axis=0)
    np.testing.assert_allclose(lowest.centroid_mm, (mask.canonical_affine() @ [*middle, 1])[:3], atol=0.01)


def test_a_label_in_two_pieces_is_two_objects_the_larger_first(tmp_path: Path) -> None:
    mask = spine_mask()
    mask[5, :2, :2] = 3
    found = panoptic(as_volume(mask, tmp_path), SPIDER)
    pieces = [each for each in found.segments if each.value == 3]
    assert [each.voxels for each in pieces] == [4 * 7 * 12, 4]
    assert pieces[0].instance + 1 == pieces[1].instance


def test_an_empty_mask_has_no_objects(tmp_path: Path) -> None:
    found = panoptic(as_volume(np.zeros_like(spine_mask()), tmp_path), SPIDER)
    assert found.segments == ()
    assert not found.instances.array.any()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_objects_are_the_connected_parts_of_each_label(tmp_path_factory, seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = (random.integers(1, 4, (3, 6, 7)) * (random.random((3, 6, 7)) < 0.35)).astype(np.uint8)
    found = panoptic(as_volume(mask, tmp_path_factory.mktemp("parts")), SPIDER)
    count = sum(ndimage.label(mask == value, np.ones((3, 3, 3)))[1] for value in (1, 2, 3))
    assert len(found.segments) == count
    assert np.array_equal(found.instances.array > 0, mask > 0)
    for each in found.segments:
        inside = found.instances.array == each.instance
        assert set(np.unique(mask[inside])) == {each.value}
        assert each.voxels == inside.sum()
        assert ndimage.label(inside, np.ones((3, 3, 3)))[1] == 1


def test_predict_writes_them_beside_the_masks(tmp_path: Path, bright) -> None:
    scan = write_array(tmp_path / "scans" / "7_t2.mha", spine_image(spine_mask()))
    model = bright(tmp_path / "model").folder
    outcome = predict_scans(PredictRequest((scan,), tmp_path / "out", (model,), device="cpu", workers=1, panoptic=True))
    assert outcome.failures == []
    mask, numbers = (
        read_mask(tmp_path / "out" / "7_t2.mha"),
        read_mask(tmp_path / "out" / "panoptic" / "7_t2.mha"),
    )
    assert numbers.geometry.difference(mask.geometry) is None
    assert np.array_equal(numbers.array > 0, mask.array > 0)
    table = json.loads((tmp_path / "out" / "panoptic" / "7_t2.json").read_text())
    assert {each["name"] for each in table["segments"]} == {"spinal canal"}
    assert "not a medical device" in table["note"]
