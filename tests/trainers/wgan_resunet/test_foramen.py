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
from tests.trainers.wgan_resunet.test_labels import SPIDER, spine
from trainers.wgan_resunet.foramen import derive_foramen, lacks_foramen
from trainers.wgan_resunet.labels import AXIAL4, BODY, FORAMEN, IGNORE_LABEL, LAMINA, derive_axial4

SPINEPS = get_scheme("spineps")
TRANSFORMS = make_transforms((TransformSettings("derive_axial4"),))
SHOWN = (41, 49, 60, 61, 100)


def subregions() -> np.ndarray:
    """The spine with arch 41 and body 49 apart, the canal 61 with the cord 60 in it, and a disc."""
    whole = spine()
    derived = derive_axial4(whole, SPIDER)
    mask = np.select([derived == BODY, derived == LAMINA, whole == 100, whole > 200], [49, 41, 61, 100], 0)
    mask[2][mask[2] == 61] = 60
    return mask.astype(np.uint8)


def test_the_canal_is_the_foramen_in_the_rows_of_bone() -> None:
    """As it is derived from whole vertebrae."""
    np.testing.assert_array_equal(derive_foramen(subregions(), SPINEPS), derive_axial4(spine(), SPIDER))


def test_the_step_derives_it_for_training_and_for_scores_alike() -> None:
    before = LabelSet(SPINEPS, SHOWN)
    assert label_set_after(TRANSFORMS, before) == LabelSet(AXIAL4, (1, 2, 3))
    assert label_set_after(TRANSFORMS, LabelSet(SPINEPS, (49, 61))) == LabelSet(AXIAL4, (BODY, FORAMEN))
    mask, expected = subregions(), derive_axial4(spine(), SPIDER)
    image = np.zeros((1, *mask.shape), np.float32)
    case, _ = apply_transforms(TRANSFORMS, CaseData(image, mask, (4, 1, 1), view_axis=1, scheme=SPINEPS, labels=SHOWN))
    np.testing.assert_array_equal(case.mask, expected)
    np.testing.assert_array_equal(relabel(TRANSFORMS, mask, before), expected)
    assert (case.scheme, case.labels) == (AXIAL4, (1, 2, 3))


def test_a_foramen_that_is_named_stays() -> None:
    assert lacks_foramen(SPINEPS, (41, 61))
    assert not lacks_foramen(SPINEPS, (41, 60))  # no canal
    assert not lacks_foramen(SPINEPS, (5, 61))  # whole vertebrae
    assert not lacks_foramen(get_scheme("axial4"), (1, 2, 3))


def test_a_case_without_canal_is_named_and_its_rows_are_not_scored() -> None:
    mask = subregions()
    mask[np.isin(mask, (60, 61))] = 0
    image = np.zeros((1, *mask.shape), np.float32)
    start = CaseData(image, mask, (4, 1, 1), view_axis=1, scheme=SPINEPS, labels=SHOWN, id="7_t2")
    with pytest.raises(UserError, match="the mask of 7_t2: shows no spinal canal"):
        apply_transforms(TRANSFORMS, start)
    derived = derive_foramen(mask, SPINEPS)
    assert set(np.unique(derived)) == {0, IGNORE_LABEL}
    assert (derived[:, 2:9] == IGNORE_LABEL).all()


def test_what_is_not_annotated_stays_so() -> None:
    mask = subregions()
    mask[:, :3] = 250
    derived = derive_foramen(mask, replace(SPINEPS, ignore_label=250))
    np.testing.assert_array_equal(derived == IGNORE_LABEL, mask == 250)
