from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.inference.ood import domain_warnings, looks_like_a_mask
from autospine.planning.training_domain import TrainingDomain
from tests.tiny import make_plan, ordered_encoding

DOMAIN = TrainingDomain((4.0, 0.5, 0.5), (5.0, 0.8, 0.8), (50, 250, 150), (90, 400, 300), ("t1", "t2"))
PLAN = make_plan(ordered_encoding(), training_domain=DOMAIN)


def warned(array: np.ndarray, spacing: tuple[float, float, float], sequence: str) -> tuple[str, ...]:
    return domain_warnings(PLAN, array, np.zeros(array.shape, np.uint8), spacing, sequence)


def image(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_scan_like_the_training_datas_is_not_warned_of() -> None:
    assert warned(image(15, 500, 300), (4.5, 0.6, 0.6), "t2") == ()
    assert warned(image(15, 500, 300), (4.5, 0.6, 0.6), "unknown") == ()


@pytest.mark.parametrize(
    ("shape", "spacing", "sequence", "words"),
    [
        ((15, 500, 300), (9.0, 0.6, 0.6), "t2", ("spacing from left to right is 9.00 mm", "4.00 to 5.00")),
        ((15, 500, 300), (4.5, 0.2, 0.6), "t2", ("spacing from head to foot is 0.20 mm",)),
        ((15, 1000, 300), (4.5, 0.6, 0.6), "t2", ("field of view from head to foot is 600 mm", "250 to 400")),
        ((15, 500, 100), (4.5, 0.6, 0.6), "t2", ("field of view from front to back is 60 mm",)),
        ((15, 500, 300), (4.5, 0.6, 0.6), "t2_SPACE", ("t2_SPACE was not in the training data", "t1, t2")),
    ],
)
def test_each_way_of_being_unlike(shape, spacing, sequence: str, words: tuple[str, ...]) -> None:
    warnings = warned(image(*shape), spacing, sequence)
    assert all(any(word in sentence for sentence in warnings) for word in words)


def test_a_constant_image_is_named() -> None:
    (warning,) = warned(np.full((15, 500, 300), 3.0), (4.5, 0.6, 0.6), "t2")
    assert "constant" in warning


@pytest.mark.parametrize(("bright", "warned_of"), [(True, False), (False, True)])
def test_labels_much_darker_than_in_training_are_named(bright: bool, warned_of: bool) -> None:
    plan = replace(PLAN, training_domain=replace(DOMAIN, contrast=(0.5, 1.5)))
    array = np.random.default_rng(0).normal(100, 10, (15, 500, 300)).astype(np.float32)
    mask = np.zeros(array.shape, np.uint8)
    mask[5:9, 100:300, 100:200] = 1
    array[mask > 0] += 15 if bright else -30
    warnings = domain_warnings(plan, array, mask, (4.5, 0.6, 0.6), "t2")
    assert any(sentence.startswith("contrast") for sentence in warnings) == warned_of
    assert domain_warnings(plan, array, np.zeros_like(mask), (4.5, 0.6, 0.6), "t2") == ()


def test_a_mask_looks_like_one_and_a_scan_does_not() -> None:
    mask = np.zeros((8, 64, 64), np.float32)
    mask[2:6, 10:50, 10:50], mask[3, 20, 20] = 7, 205
    assert looks_like_a_mask(mask)
    assert "holds 3 whole numbers only: it looks like a mask" in " ".join(
        domain_warnings(PLAN, mask, np.zeros(mask.shape, np.uint8), (4.5, 0.6, 0.6), "t2")
    )
    scan = np.random.default_rng(0).integers(0, 255, mask.shape).astype(np.float32)
    assert not looks_like_a_mask(scan)
    assert not looks_like_a_mask(mask / 2) and not looks_like_a_mask(mask * 100)
