from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autospine.fingerprint.statistics import checksum, clipped_share, intensity_statistics, label_statistics

SMALL = arrays.array_shapes(min_dims=3, max_dims=3, max_side=6)


@given(arrays.arrays(np.int64, SMALL, elements=st.sampled_from([0, 1, 2, 201, 70_000])))
def test_label_figures_agree_with_plain_numpy(mask):
    figures = label_statistics(mask)
    assert sorted(figures) == sorted(set(np.unique(mask)) - {0})
    for label, one in figures.items():
        places = np.argwhere(mask == label)
        assert one.voxels == len(places)
        assert one.slices == len(set(places[:, 0]))
        np.testing.assert_allclose(one.centroid, places.mean(axis=0))
        assert one.box == (*places.min(axis=0), *places.max(axis=0))


def test_statistics_of_a_large_image_match_numpy():
    values = np.random.default_rng(0).normal(300, 80, (20, 200, 200)).astype(np.float32)
    found = intensity_statistics(values)
    assert found.minimum == values.min()
    assert found.maximum == values.max()
    assert found.mean == pytest.approx(values.mean(), rel=1e-4)
    assert found.deviation == pytest.approx(values.std(), rel=1e-3)
    percentiles = (found.percentile_1, found.median, found.percentile_99)
    np.testing.assert_allclose(percentiles, np.percentile(values, (1, 50, 99)), atol=3)


@pytest.mark.parametrize("columns", [100, 101, 250, 256])
def test_percentiles_do_not_sample_single_columns(columns):
    values = np.broadcast_to(np.arange(columns, dtype=np.float32), (40, 200, columns))
    assert intensity_statistics(values).median == pytest.approx((columns - 1) / 2, abs=2)


def test_one_value_is_enough():
    assert intensity_statistics(np.array([4.0])).percentile_99 == 4


def test_clipping_shows_at_both_ends():
    values = np.random.default_rng(0).normal(0, 1, 100_000)
    assert clipped_share(values, values.min(), values.max()) == 0
    clipped = values.clip(-1.5, 2.0)
    assert clipped_share(clipped, -1.5, 2.0) == pytest.approx(((values <= -1.5) | (values >= 2)).mean())
    zero_filled = np.abs(values.clip(0, None))
    assert clipped_share(zero_filled, 0, zero_filled.max()) == 0
    assert clipped_share(np.full(50, 3.0), 3, 3) == 0


def test_clipped_share_of_an_eight_bit_ramp_is_zero():
    values = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.float32)
    assert clipped_share(values, 0, 255) == 0


def test_checksum_tells_values_and_shapes_but_not_integer_types():
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert checksum(values) == checksum(values.astype(np.uint16))
    assert checksum(values) == checksum(np.asfortranarray(values))
    assert checksum(values) != checksum(values.reshape(4, 3, 2))
    assert checksum(values) != checksum(values + 1)
    assert len(checksum(values.astype(np.float32))) == 16
