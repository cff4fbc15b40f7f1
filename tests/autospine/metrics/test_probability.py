from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.metrics.probability import SMALLEST, NLLSum, log_loss, negative_log_likelihood


def softmax(seed: int, classes: int, shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    values = np.exp(np.random.default_rng(seed).normal(0, 3, (classes, *shape)))
    return (values / values.sum(axis=0)).astype(np.float16)


@given(st.integers(0, 1000), st.integers(2, 4))
@settings(deadline=None)
def test_matches_scikit_learn(seed: int, classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities = softmax(seed, classes).astype(np.float64)
    probabilities /= probabilities.sum(axis=0)  # float16 has rounded the sums
    reference = np.random.default_rng(seed + 1).integers(0, classes, (3, 4, 5))
    found = negative_log_likelihood(probabilities, reference, {label: label for label in range(classes)})
    flat = np.moveaxis(probabilities, 0, -1).reshape(-1, classes).clip(SMALLEST)
    expected = metrics.log_loss(reference.ravel(), flat / flat.sum(1, keepdims=True), labels=range(classes))
    assert log_loss(found.values()) == pytest.approx(expected, rel=1e-5)


def test_sums_by_label() -> None:
    """Labels of any integers, two of them in one class, one in none."""
    probabilities = softmax(3, 3)
    reference = np.random.default_rng(4).choice([0, 7, 100, 101], (3, 4, 5)).astype(np.uint8)
    found = negative_log_likelihood(probabilities, reference, {100: 1, 7: 2, 101: 1, 55: 2})
    assert set(found) == {7, 100, 101}
    for label, channel in ((7, 2), (100, 1), (101, 1)):
        expected = -np.log(probabilities[channel].astype(float)[reference == label])
        assert found[label].voxels == expected.size
        assert found[label].total == pytest.approx(expected.sum())


def test_a_memory_map_gives_the_same(tmp_path: Path) -> None:
    probabilities, reference = softmax(5, 3), np.random.default_rng(6).integers(0, 3, (3, 4, 5))
    np.save(tmp_path / "p.npy", probabilities)
    channels = {0: 0, 1: 1, 2: 2}
    stored = np.load(tmp_path / "p.npy", mmap_mode="r")
    assert negative_log_likelihood(stored, reference, channels) == negative_log_likelihood(
        probabilities, reference, channels
    )


def test_range() -> None:
    reference = np.zeros((1, 2, 2), np.uint8)
    sure = np.zeros((2, 1, 2, 2), np.float16)
    sure[0] = 1
    assert log_loss(negative_log_likelihood(sure, reference, {0: 0, 1: 1}).values()) == 0
    wrong = log_loss(negative_log_likelihood(sure, reference + 1, {0: 0, 1: 1}).values())
    assert wrong == pytest.approx(24 * math.log(2)) == pytest.approx(16.6, abs=0.05)


def test_nothing_to_foretell() -> None:
    assert math.isnan(log_loss([]))
    assert negative_log_likelihood(softmax(0, 2), np.full((3, 4, 5), 9), {0: 0, 1: 1}) == {}


def test_parts_weigh_by_their_voxels() -> None:
    assert log_loss([NLLSum(2.0, 1), NLLSum(0.0, 3)]) == 0.5
