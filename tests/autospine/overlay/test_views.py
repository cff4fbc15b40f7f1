from __future__ import annotations

import numpy as np
import pytest

from autospine.overlay.views import choose_slices, find_views


def spine(slices: int = 20, tilt: int = 0) -> np.ndarray:
    """Three blocks one above the other, each `tilt` columns further back."""
    mask = np.zeros((slices, 90, 80), np.uint8)
    for number in range(3):
        mask[slices // 4 : slices - slices // 4, 20 + 18 * number : 32 + 18 * number, 20 + tilt * number :][
            ..., :14
        ] = 3 - number
    return mask


def test_slices_lie_among_the_labels() -> None:
    mask = spine()
    assert choose_slices(mask) == (6, 9, 13)
    mask[:10] = 0
    assert min(choose_slices(mask)) >= 10
    assert choose_slices(np.zeros_like(mask)) == (10,)
    assert choose_slices(np.ones((1, 4, 4))) == (0,)


def test_views_keep_millimetres_and_stay_near_the_labels() -> None:
    mask = spine()
    views = find_views(mask.astype(float), mask, (4.0, 1.0, 0.5))
    assert [view.title for view in views] == ["slice 7 of 20", "slice 10 of 20", "slice 14 of 20", "coronal"]
    assert views[0].spacing == (1.0, 0.5) and views[-1].spacing == (1.0, 4.0)
    assert views[0].size_mm == (48 + 20 + 22, 40.0)  # rows up to both edges; all columns
    assert {view.size_mm[0] for view in views} == {views[0].size_mm[0]}
    assert views[-1].sides == ("R", "L")


def test_image_and_mask_stay_together() -> None:
    mask = spine()
    for view in find_views(mask.astype(float) * 2, mask, (4.0, 1.0, 1.0)):
        assert (view.image == view.mask * 2.0).all() and view.mask.any()


def test_coronal_follows_a_tilted_spine() -> None:
    straight_would_miss = spine(tilt=16)
    view = find_views(straight_would_miss.astype(float), straight_would_miss, (4.0, 1.0, 1.0))[-1]
    assert set(np.unique(view.mask)) == {0, 1, 2, 3}
    assert (view.mask[26] == 3).sum() == 10  # the whole width of a block


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_thin_scans_have_no_coronal_view(slices: int) -> None:
    mask = np.ones((slices, 30, 30), np.uint8)
    assert all(view.title != "coronal" for view in find_views(mask.astype(float), mask, (4.0, 1.0, 1.0)))
