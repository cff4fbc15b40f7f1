from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.cleaning.clean import RuleSet, clean_labels, clean_mask
from autospine.cleaning.rules import RULES
from autospine.core.errors import UserError
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import conversion
from autospine.labels.schemes import SCHEMES, LabelScheme
from tests.tiny import spine_mask

SPIDER, SEMANTIC4, MRSPINESEG = (SCHEMES[name] for name in ("spider", "semantic4", "mrspineseg"))
sizes = st.tuples(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9))


@pytest.mark.parametrize("rules", sorted(RULES))
def test_own_labels_convert_to_the_cleaned_classes(rules: RuleSet) -> None:
    @settings(max_examples=60, deadline=None)
    @given(arrays(np.uint8, sizes, elements=st.sampled_from([0, 1, 2, 100, 101, 201, 202])))
    def compare(mask: np.ndarray) -> None:
        own = clean_labels(mask, SPIDER, rules)
        converted = conversion(SPIDER, SEMANTIC4).apply(own.mask)
        np.testing.assert_array_equal(converted, clean_mask(mask, SPIDER, rules).mask)

    compare()


def test_every_set_of_rules_can_be_asked_for() -> None:
    assert set(get_args(RuleSet)) == set(RULES)


def test_a_pixel_takes_the_nearest_label_of_its_new_class() -> None:
    mask = np.zeros((1, 9, 12), np.uint8)
    mask[0, 1:8, 1:5] = 3
    mask[0, 1:8, 7:11] = 2
    mask[0, 4, 2] = mask[0, 4, 8] = 201  # isolated, one in each vertebra
    cleaned = clean_labels(mask, SPIDER).mask
    assert cleaned[0, 4, 2] == 3
    assert cleaned[0, 4, 8] == 2


def test_what_semantic4_lacks_stays_among_own_labels_and_is_background_else() -> None:
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[0, 1:4, 1:4], mask[0, 5:7, 2:6] = 2, 1  # L5 and the sacrum
    np.testing.assert_array_equal(clean_labels(mask, MRSPINESEG).mask, mask)
    np.testing.assert_array_equal(clean_mask(mask, MRSPINESEG).mask, (mask == 2).astype(np.uint8))


def test_recoloured_pixels_get_the_lowest_vertebra() -> None:
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[0, 1:7, 1:7] = 203
    assert set(np.unique(clean_labels(mask, SPIDER, "published").mask)) == {0, 1}


def test_unlabelled_voxels_stay_and_count_for_nobody() -> None:
    scheme = replace(SPIDER, ignore_label=255)
    mask = np.full((1, 5, 5), 255, np.uint8)
    mask[0, 2, 2], mask[0, 2, 3] = 1, 100
    for cleaned in (clean_mask(mask, scheme, "published"), clean_labels(mask, scheme, "published")):
        assert (cleaned.mask == 255).sum() == 23
        assert cleaned.scheme.ignore_label == 255


def test_labels_beyond_a_lookup_table() -> None:
    mask = np.zeros((1, 6, 6), np.int32)
    mask[0, 1:5, 1:5], mask[0, 2, 2] = 4, 100_000
    cleaned = clean_labels(mask, SPIDER)
    assert cleaned.mask[0, 2, 2] == 4
    assert cleaned.report.totals == {"unknown": 1, "isolated": 0}


def test_the_report_counts_by_slice() -> None:
    mask = np.zeros((2, 6, 6), np.uint8)
    mask[:, 1:5, 1:5] = 2
    mask[1, 3, 3] = 201
    report = clean_mask(mask, SPIDER).report
    assert list(report.rows()) == [(0, 16, 0, 0), (1, 16, 0, 1)]
    assert report.line == "mapped 32, unknown 0, isolated 1"


def test_a_clean_spine_stays_and_a_dirty_one_is_mended() -> None:
    clean = made_spine_classes()
    np.testing.assert_array_equal(clean_mask(clean, SEMANTIC4).mask, clean)
    dirty = clean.copy()
    dirty[:, 4::9, 3::9] = 77
    mended = clean_mask(dirty, SEMANTIC4)
    assert mended.report.totals["unknown"] == np.count_nonzero(dirty == 77)
    assert np.count_nonzero(mended.mask != clean) < 0.2 * np.count_nonzero(dirty == 77)


def made_spine_classes() -> np.ndarray:
    return conversion(SPIDER, SEMANTIC4).apply(spine_mask())


def test_masks_of_another_scheme_are_refused() -> None:
    mask = np.zeros((1, 6, 6), np.uint8)
    mask[0, 1:5, 1:5] = 60
    with pytest.raises(UserError, match=r"scheme semantic4 lacks; .*--labels"):
        clean_mask(mask, SEMANTIC4)
    with pytest.raises(UserError, match="cord, which has no vertebra, canal or disc"):
        clean_mask(mask, LabelScheme("cord", {60: Anatomy(Kind.CORD)}))


def test_an_empty_mask_is_clean() -> None:
    assert not clean_mask(np.zeros((2, 3, 3), np.uint8), SPIDER, "published").mask.any()
