from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.dataset.cases import load_dataset
from autospine.fingerprint.fingerprint import Fingerprint, make_fingerprint
from autospine.fingerprint.slice_filter import class_counts, class_weight_ratio, class_weights, filter_slices
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES
from autospine.planning.report import describe
from autospine.planning.run import PlanRequest, make_plans
from tests.tiny import SHAPE, spine_image, spine_mask, write_array, write_dataset

IDS = ("1_t1", "1_t2", "2_t2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", IDS)


def test_every_sequence_has_its_weights_before_and_after(data: Path) -> None:
    found = make_fingerprint(load_dataset(data)).class_weights
    assert list(found) == ["t1", "t2"]
    expected = class_weights(filter_slices(class_counts(spine_mask(), SCHEMES["spider"])))
    assert found["t1"] == expected
    assert (found["t2"].slices, found["t2"].kept) == (2 * SHAPE[0], 2 * 2)
    assert class_weight_ratio(found["t2"].after) < class_weight_ratio(found["t2"].before)


def test_a_fingerprint_of_before_the_filter_is_read(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "fingerprint.json"
    made = make_fingerprint(load_dataset(data))
    made.save(path)
    assert Fingerprint.load(path) == made
    content = json.loads(path.read_text())
    for case in content["cases"]:
        del case["class_weights"]
    path.write_text(json.dumps(content))
    old = Fingerprint.load(path)
    assert old.class_weights == {}
    assert [case.voxels for case in old.cases] == [case.voxels for case in made.cases]


def test_cached_figures_follow_the_meaning_of_the_labels(data: Path, tmp_path: Path) -> None:
    dataset, cache = load_dataset(data), tmp_path / "cache"
    before = make_fingerprint(dataset, cache=cache)
    scheme = replace(SCHEMES["spider"], name="without canal", anatomies=without_canal())
    after = make_fingerprint(dataset, scheme=scheme, cache=cache)
    assert after == make_fingerprint(dataset, scheme=scheme)
    assert (before.class_weights["t1"].kept, after.class_weights["t1"].kept) == (2, 0)


def without_canal() -> dict[int, Anatomy]:
    """SPIDER's labels, but 100 is the cord."""
    return {**SCHEMES["spider"].anatomies, 100: Anatomy(Kind.CORD)}


def test_labels_without_a_vertebra_disc_or_canal_have_no_weights(tmp_path: Path) -> None:
    for case_id in IDS:
        mask = np.where(spine_mask() > 0, 250, 0).astype(np.uint8)
        write_array(tmp_path / "images" / f"{case_id}.mha", spine_image(spine_mask()))
        write_array(tmp_path / "masks" / f"{case_id}.mha", mask)
    assert make_fingerprint(load_dataset(tmp_path)).class_weights == {}


def test_the_plan_shows_them_when_asked_to_explain(data: Path, tmp_path: Path) -> None:
    request = PlanRequest(data, tmp_path / "work", folds=2, workers=1, device="cpu", dry_run=True)
    outcome = make_plans(request)
    text = describe(outcome, explain=True)
    assert "for recipes with a slice filter, t1: 2 of 6 slices kept, class weight ratio" in text
    assert "for recipes with a slice filter, t2: 4 of 12 slices kept" in text
    assert "slice filter" not in describe(outcome, explain=False)


def test_the_plan_names_the_class_that_no_slice_shows(tmp_path: Path) -> None:
    for number, case_id in enumerate(("1_t1", "2_t1")):
        mask = np.where(spine_mask() == 100, 0, spine_mask()).astype(np.uint8)
        write_array(tmp_path / "data" / "images" / f"{case_id}.mha", spine_image(mask, number))
        write_array(tmp_path / "data" / "masks" / f"{case_id}.mha", mask)
    request = PlanRequest(tmp_path / "data", tmp_path / "work", workers=1, device="cpu", dry_run=True)
    text = describe(make_plans(request), explain=True)
    assert "for recipes with a slice filter, t1: 0 of 12 slices kept: not one shows spinal canal" in text
