from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.cleaning.clean import clean_labels
from autospine.core.errors import UserError
from autospine.labels.conversion import get_scheme
from autospine.labels.schemes import SCHEMES
from autospine.preprocessing.grid import Grid, SliceInterpolation, case_grid
from autospine.preprocessing.transforms.base import CaseData, TransformSettings, apply_transforms, make_transforms
from autospine.preprocessing.transforms.masks import BoxMasks
from autospine.reconstruction.masks import interpolate_mask
from tests.tiny import SPACING, spine_mask

GRID = case_grid(Grid((None, None, None), slice_interpolation=SliceInterpolation(1.0)), spine_mask().shape, SPACING)


@pytest.fixture
def case() -> CaseData:
    mask = GRID.resample_mask(spine_mask(), None)
    return CaseData(np.ones((1, *GRID.shape), np.float32), mask, GRID.spacing, slice_grid=GRID.slices)


def test_masks_between_measured_slices_follow_the_box_rule(case: CaseData) -> None:
    found = BoxMasks().apply(case)
    assert found.mask is not None
    assert GRID.slices is not None
    np.testing.assert_array_equal(found.mask, interpolate_mask(spine_mask(), GRID.slices, SPACING, "box"))
    np.testing.assert_array_equal(found.mask[GRID.measured], spine_mask())
    assert found.image is case.image


def test_the_aligned_masks_do_not_matter(case: CaseData) -> None:
    """Only measured slices are looked at."""
    expected = BoxMasks().apply(case).mask
    assert case.mask is not None
    other = case.mask.copy()
    other[[k for k in range(len(other)) if k not in GRID.measured]] = 9
    np.testing.assert_array_equal(BoxMasks().apply(replace(case, mask=other)).mask, expected)


def test_what_nobody_annotated_stays_so(case: CaseData) -> None:
    assert case.mask is not None
    mask = case.mask.copy()
    mask[8:, :3] = 255
    scheme = replace(get_scheme("spider"), ignore_label=255)
    found = BoxMasks().apply(replace(case, mask=mask, scheme=scheme))
    assert found.mask is not None
    assert (found.mask[5:, :3] == 255).all()
    assert not (found.mask[:5] == 255).any()
    assert not (found.mask[:, 3:] == 255).any()


@pytest.mark.parametrize("change", [{"mask": None}, {"slice_grid": None}], ids=["prediction", "another plan"])
def test_nothing_is_done_where_there_is_nothing_to_do(case: CaseData, change: dict) -> None:
    given = replace(case, **change)
    assert BoxMasks().apply(given) is given


def test_slices_that_another_step_has_changed_are_refused(case: CaseData) -> None:
    assert case.mask is not None
    cut = replace(case, image=case.image[:, 2:], mask=case.mask[2:])
    with pytest.raises(UserError, match=r"transform box_masks: finds other slices .*; list it first"):
        BoxMasks().apply(cut)


def test_predictions_pass(case: CaseData) -> None:
    values = np.random.default_rng(0).random((3, *GRID.shape)).astype(np.float32)
    assert BoxMasks().inverse(values, GRID.shape, np.zeros(3)) is values


SPIDER = SCHEMES["spider"]


def speckled_case() -> CaseData:
    mask = spine_mask()
    mask[2, 30, 12] = 100  # a speck of canal in a vertebra or disc
    return CaseData(np.zeros((1, *mask.shape), np.float32), mask, SPACING, scheme=SPIDER)


def clean_step(start: CaseData, **settings: float) -> CaseData:
    return apply_transforms(make_transforms((TransformSettings("clean_masks", settings),)), start)[0]


def test_the_adapted_step_mends_the_speck_alone() -> None:
    done = clean_step(speckled_case())
    assert done.mask is not None
    np.testing.assert_array_equal(done.mask, spine_mask())
    rows = {row[0]: row[1:] for row in done.tables[0].rows}
    assert rows.pop("2") == ("0", "1")
    assert set(rows.values()) == {("0", "0")}


def test_the_published_step_uses_the_papers_rules() -> None:
    done = clean_step(speckled_case(), published=1)
    np.testing.assert_array_equal(done.mask, clean_labels(speckled_case().mask, SPIDER, "published").mask)
    assert "outline" in done.tables[0].columns


def test_discs_stay_discs_in_a_data_set_without_vertebrae() -> None:
    """Else the rule that restores lost vertebrae would leave no disc to learn."""
    discs = np.where(speckled_case().mask > 200, speckled_case().mask, 0)
    assert discs.any()
    done = clean_step(replace(speckled_case(), mask=discs, labels=(201, 202)), published=1)
    assert done.mask is not None
    assert set(np.unique(done.mask)) == set(np.unique(discs))
    assert {row[-1] for row in done.tables[0].rows} == {"0"}
    lost = clean_step(replace(speckled_case(), mask=discs, labels=(1, 201, 202)), published=1)
    assert set(np.unique(lost.mask)) == {0, 1}


def test_the_summary_adds_up_all_cases() -> None:
    step = make_transforms((TransformSettings("clean_masks"),))[0]
    rows = [{"unknown": "0", "isolated": "2"}, {"unknown": "1", "isolated": "3"}]
    expected = "masks cleaned (adapted rules), pixels changed: unknown 1, isolated 5"
    assert step.summary(rows).lines == (expected,)  # type: ignore[union-attr]


def test_a_scan_to_be_segmented_passes_as_it_is() -> None:
    start = replace(speckled_case(), mask=None, scheme=None)
    assert clean_step(start) is start


def test_a_mask_without_a_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="transform clean_masks: was not told"):
        clean_step(replace(speckled_case(), scheme=None))


def test_published_is_a_flag() -> None:
    with pytest.raises(UserError, match="transform clean_masks: published is 2, neither 0 nor 1"):
        make_transforms((TransformSettings("clean_masks", {"published": 2}),))
