from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine import volumes
from autospine.core.errors import UserError
from autospine.labels.conversion import get_scheme
from autospine.labels.schemes import LabelScheme
from trainers.wgan_resunet.labels import (
    BODY,
    FORAMEN,
    IGNORE_LABEL,
    LAMINA,
    canal_border,
    check_derivable,
    derive_axial4,
    shows_axial,
)

SPIDER, SEMANTIC = get_scheme("spider"), get_scheme("semantic4")
SHAPE = (5, 20, 16)


def spine(lean: float = 0.3, canal_rows: slice = slice(None)) -> np.ndarray:
    """Vertebrae 2 and 1 with bodies and arches around a canal that leans backwards, and the disc between."""
    mask = np.zeros(SHAPE, np.uint8)
    for row in range(SHAPE[1]):
        front = 5 + round(lean * row)
        level = 2 if 2 <= row < 9 else 1 if 11 <= row < 18 else 0
        if level:
            mask[:, row, front - 4 : front] = level
            mask[1:4, row, front + 3 : front + 5] = level
            mask[[0, 4], row, front : front + 5] = level  # pedicles and arch beside the canal
        elif row in (9, 10):
            mask[:, row, front - 4 : front] = 202
        if row in range(SHAPE[1])[canal_rows]:
            mask[1:4, row, front : front + 3] = 100
    return mask


def borders(lean: float = 0.3) -> np.ndarray:
    return np.array([5 + round(lean * row) for row in range(SHAPE[1])])


def test_each_row_is_divided_at_its_own_border() -> None:
    mask = spine()
    derived = derive_axial4(mask, SPIDER)
    vertebra, front = np.isin(mask, (1, 2)), np.arange(SHAPE[2]) < borders()[:, None]
    np.testing.assert_array_equal(derived == BODY, vertebra & front)
    np.testing.assert_array_equal(derived == LAMINA, vertebra & ~front)


def test_one_plane_would_not_do() -> None:
    """The spine leans, so that the lower vertebra's body lies in columns of the upper one's arch."""
    derived = derive_axial4(spine(0.4), SPIDER)
    arch, body = (derived[:, 2] == LAMINA).any(0), (derived[:, 17] == BODY).any(0)
    assert (arch & body).any()


def test_the_foramen_is_the_canal_within_the_vertebras_rows() -> None:
    mask = spine()
    derived = derive_axial4(mask, SPIDER)
    rows = np.isin(np.arange(SHAPE[1]), [*range(2, 9), *range(11, 18)])
    np.testing.assert_array_equal(derived == FORAMEN, (mask == 100) & rows[:, None])
    assert not derived[:, 9:11].any()  # disc and canal beside it


def test_a_gap_in_a_vertebra_belongs_to_its_range() -> None:
    mask = spine()
    mask[:, 5][mask[:, 5] == 2] = 0
    assert (derive_axial4(mask, SPIDER)[:, 5] == FORAMEN).sum() == (mask[:, 5] == 100).sum()


def test_rows_without_canal_take_the_border_between_their_neighbours() -> None:
    mask = spine()
    mask[:, 4:8][mask[:, 4:8] == 100] = 0
    before, after = borders()[3], borders()[8]
    found = canal_border(mask == 100)[3:9]
    np.testing.assert_allclose(found, np.linspace(before, after, 6))
    derived = derive_axial4(mask, SPIDER)
    assert (derived[:, 4:8] == BODY).any()
    assert not (derived[:, 4:8] == FORAMEN).any()


def test_beyond_the_canals_ends_the_nearest_border_holds() -> None:
    border = canal_border(spine(0.6, slice(6, 14)) == 100)
    np.testing.assert_array_equal(border[6:14], borders(0.6)[6:14])
    assert set(border[:6]) == {borders(0.6)[6]}
    assert set(border[14:]) == {borders(0.6)[13]}


def test_a_vertebra_that_the_canal_does_not_reach_is_unlabelled() -> None:
    derived = derive_axial4(spine(canal_rows=slice(0, 10)), SPIDER)
    assert (derived[:, 11:18] == IGNORE_LABEL).all()
    assert not (derived[:, :11] == IGNORE_LABEL).any()
    assert (derived[:, 2:9] == BODY).any()


def test_without_a_canal_nothing_is_invented() -> None:
    mask = spine(canal_rows=slice(0, 0))
    derived = derive_axial4(mask, SPIDER)
    assert set(np.unique(derived)) == {0, IGNORE_LABEL}
    assert (derived[:, 2:9] == IGNORE_LABEL).all()


def test_a_stray_voxel_of_canal_does_not_move_the_border() -> None:
    mask = spine()
    mask[2, 5, 1] = 100
    assert canal_border(mask == 100)[5] == borders()[5]


def test_a_canal_that_touches_the_bone_changes_nothing() -> None:
    mask = spine()
    behind = borders()[5] + 3
    assert mask[2, 5, behind] == 2
    assert mask[2, 5, behind - 1] == 100  # they touch
    assert derive_axial4(mask, SPIDER)[2, 5, behind] == LAMINA


def test_vertebrae_without_levels_are_divided_alike() -> None:
    mask = spine()
    plain = np.select([np.isin(mask, (1, 2)), mask == 100, mask > 200], [1, 2, 3], 0).astype(np.uint8)
    np.testing.assert_array_equal(derive_axial4(plain, SEMANTIC), derive_axial4(mask, SPIDER))


def test_the_cord_counts_as_canal_in_which_it_lies() -> None:
    mask, scheme = spine(), get_scheme("spineps")
    whole = np.select([mask == 2, mask == 1, mask == 100, mask > 200], [23, 24, 61, 100], 0).astype(np.uint8)
    with_cord = np.where((np.arange(SHAPE[0]) == 2)[:, None, None] & (whole == 61), 60, whole)
    np.testing.assert_array_equal(derive_axial4(with_cord, scheme), derive_axial4(mask, SPIDER))
    alone = np.where(whole == 61, 60, whole)
    assert set(np.unique(derive_axial4(alone, scheme))) == {0, IGNORE_LABEL}


def test_partly_visible_vertebrae_are_divided_too() -> None:
    mask = spine()
    part = np.where(mask == 2, 102, mask)
    np.testing.assert_array_equal(derive_axial4(part, SPIDER), derive_axial4(mask, SPIDER))


def test_what_is_not_annotated_stays_so() -> None:
    scheme = LabelScheme("spider", SPIDER.anatomies, ignore_label=250)
    mask = spine()
    mask[:, :3] = 250
    derived = derive_axial4(mask, scheme)
    np.testing.assert_array_equal(derived == IGNORE_LABEL, mask == 250)


@given(arrays(np.uint8, (3, 6, 7), elements=st.sampled_from([0, 1, 2, 100, 101, 201])))
def test_bone_stays_bone_and_canal_canal(mask: np.ndarray) -> None:
    derived = derive_axial4(mask, SPIDER)
    bone = np.isin(mask, (1, 2, 101))
    assert np.isin(derived[bone], (BODY, LAMINA, IGNORE_LABEL)).all()
    assert not np.isin(derived[~bone], (BODY, LAMINA)).any()
    assert (mask[derived == FORAMEN] == 100).all()
    if (mask == 100).any(axis=(0, 2)).all():
        assert not (derived == IGNORE_LABEL).any()
        border = canal_border(mask == 100)
        columns = np.broadcast_to(np.arange(7), mask.shape)
        assert (columns < border[:, None])[derived == BODY].all()
        assert not (columns < border[:, None])[derived == LAMINA].any()


def test_a_missing_canal_is_named() -> None:
    with pytest.raises(UserError, match=r"7_t2: shows no spinal canal.*annotate it, or use masks in the scheme"):
        check_derivable(SPIDER, (1, 2, 201), "7_t2")
    with pytest.raises(UserError, match="no vertebra and no spinal canal"):
        check_derivable(SPIDER, (201,), "7_t2")


def test_masks_that_name_bodies_need_no_derivation() -> None:
    assert shows_axial(get_scheme("axial4"), (1, 3))
    assert shows_axial(get_scheme("spineps"), (49, 61))
    assert not shows_axial(get_scheme("spineps"), (20, 21, 61))


def test_real_bodies_come_out_as_annotated(real_data: Path) -> None:
    """Body 0.98 or more in Dice, vertebra by vertebra; lamina and processes are printed."""
    parts = volumes.read_mask(real_data / "subregions" / "sub-mri_seg-subreg_label-6_msk.nii.gz").array
    whole = volumes.read_mask(real_data / "subregions" / "sub-mri_seg-vert_label-6_msk.nii.gz").array
    bone = np.isin(parts, range(41, 50))
    mask = np.where(np.isin(parts, (60, 61)), 61, np.where(bone, whole, 0)).astype(np.uint8)
    derived = derive_axial4(mask, get_scheme("spineps"))
    for value in (5, 6, 7):
        here = bone & (whole == value)
        body = dice(here & (derived == BODY), here & (parts == 49))
        lamina = dice(here & (derived == LAMINA), here & (parts != 49))
        print(f"vertebra {value}: body {body:.4f}, lamina and processes {lamina:.4f}")  # noqa: T201
        assert body >= 0.98
        assert lamina >= 0.95


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())
