from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.cleaning.clean import clean_labels
from autospine.core.errors import UserError
from autospine.labels.conversion import SCHEMES
from autospine.preprocessing.transforms.base import CaseData, TransformSettings, apply_transforms, make_transforms
from tests.tiny import SPACING, spine_mask

SPIDER = SCHEMES["spider"]


def case() -> CaseData:
    mask = spine_mask()
    mask[2, 30, 12] = 100  # a speck of canal in a vertebra or disc
    return CaseData(np.zeros((1, *mask.shape), np.float32), mask, SPACING, scheme=SPIDER)


def cleaned(start: CaseData, **settings: float) -> CaseData:
    return apply_transforms(make_transforms((TransformSettings("clean_masks", settings),)), start)[0]


def test_the_adapted_step_mends_the_speck_alone() -> None:
    done = cleaned(case())
    assert done.mask is not None
    np.testing.assert_array_equal(done.mask, spine_mask())
    rows = {row[0]: row[1:] for row in done.tables[0].rows}
    assert rows.pop("2") == ("0", "1")
    assert set(rows.values()) == {("0", "0")}


def test_the_published_step_uses_the_papers_rules() -> None:
    done = cleaned(case(), published=1)
    np.testing.assert_array_equal(done.mask, clean_labels(case().mask, SPIDER, "published").mask)
    assert "outline" in done.tables[0].columns


def test_discs_stay_discs_in_a_data_set_without_vertebrae() -> None:
    """Else the rule that restores lost vertebrae would leave no disc to learn."""
    discs = np.where(case().mask > 200, case().mask, 0)
    assert discs.any()
    done = cleaned(replace(case(), mask=discs, labels=(201, 202)), published=1)
    assert done.mask is not None
    assert set(np.unique(done.mask)) == set(np.unique(discs))
    assert {row[-1] for row in done.tables[0].rows} == {"0"}
    lost = cleaned(replace(case(), mask=discs, labels=(1, 201, 202)), published=1)
    assert set(np.unique(lost.mask)) == {0, 1}


def test_the_summary_adds_up_all_cases() -> None:
    step = make_transforms((TransformSettings("clean_masks"),))[0]
    rows = [{"unknown": "0", "isolated": "2"}, {"unknown": "1", "isolated": "3"}]
    expected = "masks cleaned (adapted rules), pixels changed: unknown 1, isolated 5"
    assert step.summary(rows).lines == (expected,)  # type: ignore[union-attr]


def test_a_scan_to_be_segmented_passes_as_it_is() -> None:
    start = replace(case(), mask=None, scheme=None)
    assert cleaned(start) is start


def test_a_mask_without_a_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="step clean_masks: was not told"):
        cleaned(replace(case(), scheme=None))


def test_published_is_a_flag() -> None:
    with pytest.raises(UserError, match="step clean_masks: published is 2, neither 0 nor 1"):
        make_transforms((TransformSettings("clean_masks", {"published": 2}),))
