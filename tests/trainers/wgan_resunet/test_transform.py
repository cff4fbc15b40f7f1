from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.labels.conversion import get_scheme
from autospine.preprocessing.transforms.base import (
    CaseData,
    LabelSet,
    TransformSettings,
    apply_transforms,
    label_set_after,
    make_transforms,
    relabel,
)
from tests.tiny import SPACING, spine_mask
from trainers.wgan_resunet.labels import AXIAL4, derive_axial4

SPIDER = get_scheme("spider")
SHOWN = (1, 2, 3, 4, 5, 100, 201, 202, 203, 204, 205)
TRANSFORMS = make_transforms((TransformSettings("derive_axial4"), TransformSettings("z_score")))


def case(mask: np.ndarray | None = None) -> CaseData:
    mask = spine_mask() if mask is None else mask
    image = np.zeros((1, *mask.shape), np.float32)
    return CaseData(image, mask, SPACING, view_axis=1, scheme=SPIDER, labels=SHOWN, id="7_t2")


def test_the_mask_and_what_it_means_change_together() -> None:
    done, _ = apply_transforms(TRANSFORMS, case())
    assert (done.scheme, done.labels) == (AXIAL4, (1, 2, 3))
    np.testing.assert_array_equal(done.mask, derive_axial4(spine_mask(), SPIDER))


def test_a_reference_is_derived_on_its_own_grid() -> None:
    before = LabelSet(SPIDER, SHOWN)
    mask = spine_mask()[:, ::2]
    np.testing.assert_array_equal(relabel(TRANSFORMS, mask, before), derive_axial4(mask, SPIDER))
    assert label_set_after(TRANSFORMS, before) == LabelSet(AXIAL4, (1, 2, 3))


def test_masks_with_these_labels_pass_as_they_are() -> None:
    before = LabelSet(get_scheme("axial4"), (1, 2, 3))
    start = replace(case(), scheme=before.scheme, labels=before.shown)
    assert apply_transforms(TRANSFORMS[:1], start)[0] is start
    assert label_set_after(TRANSFORMS, before) == before
    mask = np.ones((2, 2, 2), np.uint8)
    assert relabel(TRANSFORMS, mask, before) is mask


def test_a_case_without_canal_is_named() -> None:
    mask = spine_mask()
    mask[mask == 100] = 0
    with pytest.raises(UserError, match="the mask of 7_t2: shows no spinal canal"):
        apply_transforms(TRANSFORMS, case(mask))


def test_a_data_set_without_canal_is_refused_before_any_case_is_read() -> None:
    with pytest.raises(UserError, match="the data set: shows no spinal canal"):
        label_set_after(TRANSFORMS, LabelSet(SPIDER, (1, 2)))


def test_a_case_without_vertebrae_is_background() -> None:
    mask = np.where(spine_mask() == 100, 0, 0).astype(np.uint8)
    done, _ = apply_transforms(TRANSFORMS[:1], case(mask))
    assert done.mask is not None
    assert not done.mask.any()


def test_one_slice_alone_is_divided(size: int = 1) -> None:
    mask = spine_mask()[:, 52 : 52 + size]  # axial slice
    done, _ = apply_transforms(TRANSFORMS[:1], case(mask))
    assert set(np.unique(done.mask)) == {0, 1, 2}
    sagittal = spine_mask()[2:3]
    assert set(np.unique(apply_transforms(TRANSFORMS[:1], case(sagittal))[0].mask)) == {0, 1, 2}


def test_a_scan_to_be_segmented_passes_as_it_is() -> None:
    start = replace(case(), mask=None, scheme=None)
    assert apply_transforms(TRANSFORMS[:1], start)[0] is start


def test_a_mask_without_a_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="transform derive_axial4: was not told"):
        apply_transforms(TRANSFORMS, replace(case(), scheme=None))
