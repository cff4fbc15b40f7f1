from __future__ import annotations

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.dataset.cases import load_dataset
from autospine.fingerprint.fingerprint import make_fingerprint
from autospine.labels.conversion import get_scheme


def problem(root, scheme=None):
    with pytest.raises(UserError) as caught:
        make_fingerprint(load_dataset(root), workers=1, scheme=scheme)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_labels_that_count_downward_suggest_the_right_scheme(tmp_path, spine):
    for number in range(2):
        spine(tmp_path, f"{number}_t2", [5, 4, 3, 2, 1])
    line = problem(tmp_path)
    assert "count downward" in line
    assert "spider" in line
    assert "--labels lumbar7" in line
    assert "dataset.json" in line
    assert make_fingerprint(load_dataset(tmp_path), scheme=get_scheme("lumbar7")).ordered_labels[0].values == (
        5,
        4,
        3,
        2,
        1,
    )


def test_lumbar7_with_its_thoracic_labels_is_not_taken_for_spider(tmp_path, spine):
    spine(tmp_path, "1_t2", [4, 3, 2, 1, 7])
    assert "--labels lumbar7" in problem(tmp_path)


def test_discs_among_vertebra_numbers_are_not_taken_for_spider(tmp_path, spine):
    spine(tmp_path, "1_t2", [11, 1, 12, 2, 13])
    assert "give --labels spider20" in problem(tmp_path)


def test_semantic_labels_are_not_taken_for_levels(tmp_path, write):
    mask = np.zeros((6, 48, 16), np.uint8)
    mask[:, 4:44, 2:5], mask[:, 4:44, 6:9], mask[:, 5:43, 10:12] = 1, 2, 3
    for number, mark in enumerate((1, 2, 3)):  # so that the three centroids keep no common height
        mask[0, 46 - number, 12 + mark] = 0
    noise = np.random.default_rng(0).random(mask.shape).astype(np.float32)
    write(tmp_path / "images" / "1_t1.mha", noise)
    write(tmp_path / "masks" / "1_t1.mha", mask)
    assert "semantic4" in problem(tmp_path)


def test_masks_without_any_label(tmp_path, spine):
    spine(tmp_path, "1_t1", [])
    assert "hold no label" in problem(tmp_path)
