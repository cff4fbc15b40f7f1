from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.labels.conversion import get_scheme
from autospine.preprocessing.grid import Grid, Rebuild, case_grid
from autospine.preprocessing.transforms.base import CaseData
from autospine.preprocessing.transforms.masks import BoxMasks
from autospine.reconstruction.masks import rebuild_mask
from tests.tiny import SPACING, spine_mask

GRID = case_grid(Grid((None, None, None), rebuild=Rebuild(1.0)), spine_mask().shape, SPACING)


@pytest.fixture
def case() -> CaseData:
    mask = GRID.bring_mask(spine_mask(), None)
    return CaseData(np.ones((1, *GRID.shape), np.float32), mask, GRID.spacing, slice_grid=GRID.slices)


def test_masks_between_measured_slices_follow_the_box_rule(case: CaseData) -> None:
    found = BoxMasks().apply(case)
    assert found.mask is not None
    assert GRID.slices is not None
    np.testing.assert_array_equal(found.mask, rebuild_mask(spine_mask(), GRID.slices, SPACING, "box"))
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
    scheme = replace(get_scheme("spider"), unlabelled=255)
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
    with pytest.raises(UserError, match=r"step box_masks: finds other slices .*; list it first"):
        BoxMasks().apply(cut)


def test_predictions_pass(case: CaseData) -> None:
    values = np.random.default_rng(0).random((3, *GRID.shape)).astype(np.float32)
    assert BoxMasks().undo(values, GRID.shape, np.zeros(3)) is values
