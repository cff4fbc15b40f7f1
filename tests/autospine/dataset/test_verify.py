from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.dataset import verify
from autospine.dataset.cases import load_dataset
from autospine.fingerprint.fingerprint import make_fingerprint
from autospine.labels.conversion import get_scheme


def problem(root, scheme=None):
    with pytest.raises(UserError) as caught:
        make_fingerprint(load_dataset(root), workers=1, scheme=scheme)
    line = str(caught.value)
    assert "\n" not in line
    return line


@dataclass
class Described:
    id: str
    patient: str
    subset: str = "training"


def test_image_and_mask_on_different_grids_names_both_files(tmp_path, spine, write, boxes):
    spine(tmp_path, "1_t1")
    write(tmp_path / "masks" / "1_t1.mha", boxes([1, 2]), spacing=(4, 1.5, 1.6))
    line = problem(tmp_path)
    assert "masks/1_t1.mha" in line
    assert "images/1_t1.mha" in line
    assert "grid" in line


def test_channels_on_different_grids(tmp_path, write, boxes):
    mask = boxes([1, 2])
    noise = np.random.default_rng(0).random(mask.shape).astype(np.float32)
    write(tmp_path / "images" / "1_t1_0000.mha", noise)
    write(tmp_path / "images" / "1_t1_0001.mha", noise[:, 1:])
    write(tmp_path / "masks" / "1_t1.mha", mask)
    (tmp_path / "dataset.json").write_text('{"channels": ["a", "b"]}')
    assert "1_t1_0001.mha: lies on another grid" in problem(tmp_path)


def test_label_outside_the_scheme_names_value_and_count(tmp_path, spine):
    spine(tmp_path, "1_t1", [1, 2, 26])
    line = problem(tmp_path, get_scheme("spider"))
    assert "masks/1_t1.mha" in line
    assert "26 (96 voxels)" in line
    assert "spider" in line


def test_unlabelled_voxels_are_inside_the_scheme(tmp_path, spine):
    spine(tmp_path, "1_t1", [1, 2, 255])
    (tmp_path / "dataset.json").write_text('{"labels": {"1": "vertebra:1", "2": "vertebra:2"}, "ignore_label": 255}')
    made = make_fingerprint(load_dataset(tmp_path))
    assert made.cases[0].voxels[255] == 96
    assert 255 not in made.cases[0].centroids
    assert made.cases[0].voxels[255] > 0
    assert sorted(made.cases[0].centroids) == [1, 2]


def test_constant_image(tmp_path, spine, write):
    spine(tmp_path, "1_t1")
    write(tmp_path / "images" / "1_t1.mha", np.full((6, 48, 16), 7, np.float32))
    line = problem(tmp_path)
    assert "images/1_t1.mha" in line
    assert "constant" in line


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_image_that_is_not_finite_is_never_measured(tmp_path, value):
    (problem,) = verify.intensity_problems(tmp_path, value, 5.0)
    assert "NaN" in str(problem)


def test_mask_of_fractions(tmp_path, spine, write, boxes):
    spine(tmp_path, "1_t1")
    write(tmp_path / "masks" / "1_t1.mha", boxes([1, 2]).astype(np.float32) + 0.5)
    assert "masks/1_t1.mha" in problem(tmp_path)


def test_negative_label(tmp_path, spine, write, boxes):
    spine(tmp_path, "1_t1")
    write(tmp_path / "masks" / "1_t1.mha", boxes([1, 2]).astype(np.int16) - 1)
    assert "label -1" in problem(tmp_path) and '"ignore_label": -1 in dataset.json' in problem(tmp_path)
    labels = '{"labels": {"1": "vertebra:1"}, "ignore_label": -1}'
    (tmp_path / "dataset.json").write_text(labels)
    fingerprint = make_fingerprint(load_dataset(tmp_path), workers=1)
    assert fingerprint.scheme.negative == (-1, 255)
    assert set(fingerprint.cases[0].voxels) == {0, 1, 255} and set(fingerprint.cases[0].centroids) == {1}


def test_truncated_file(tmp_path, spine):
    spine(tmp_path, "1_t1")
    path = tmp_path / "images" / "1_t1.mha"
    path.write_bytes(path.read_bytes()[:700])
    assert "images/1_t1.mha" in problem(tmp_path)


def test_problems_of_all_cases_are_said_together(tmp_path, spine, caplog):
    for number in range(6):
        spine(tmp_path, f"{number}_t1", [1, 2, 3] if number % 2 else [1, 2, 30 + number])
    with caplog.at_level(logging.ERROR):
        line = problem(tmp_path, get_scheme("spider"))
    assert "masks/0_t1.mha" in line
    assert "2 more" in line
    for number in (0, 2, 4):
        assert f"{number}_t1.mha" in caplog.text
    assert "1_t1.mha" not in caplog.text


def test_no_problem_raises_nothing():
    verify.raise_together([])


def test_patient_on_both_sides_and_id_twice():
    cases = [Described("1_t1", "1"), Described("1_t2", "1", "validation"), Described("2_t1", "2")]
    (problem,) = verify.identity_problems(cases)
    assert "patient 1" in str(problem)
    assert "1_t1 in training and 1_t2 in validation" in str(problem)
    (problem,) = verify.identity_problems([cases[2], cases[2]])
    assert str(problem).startswith("2_t1: is the id of two cases")


def test_no_training_case(tmp_path, spine):
    spine(tmp_path, "1_t1")
    (tmp_path / "overview.csv").write_text("new_file_name,subset\n1_t1,validation\n")
    assert "no training case" in problem(tmp_path)
