from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from autospine.core.errors import UserError
from autospine.reconstruction.measurements import measure, write_measurements

SPACING = (1.1, 0.5, 2.0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_figures_are_those_of_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.integers(0, 300, (3, 6, 7)) * (rng.random((3, 6, 7)) < 0.4)).astype(np.int32) // 60 * 60
    found = {(one.value, one.slice): one for one in measure(mask, SPACING, range(0, 3, 2))}
    expected = {(region.label, index): region for index, plane in enumerate(mask) for region in regionprops(plane)}
    assert list(found) == sorted(expected)
    for key, region in expected.items():
        one = found[key]
        r0, c0, r1, c1 = region.bbox
        assert one.box == (r0, c0, r1 - 1, c1 - 1)
        np.testing.assert_allclose(one.centroid, region.centroid)
        assert one.area_mm2 == pytest.approx(region.area * 0.5 * 2.0)
        height, width = (r1 - r0) * 0.5, (c1 - c0) * 2.0
        assert one.height_to_width == pytest.approx(height / width)
        assert one.diameter_mm == pytest.approx(np.hypot(height, width))
        ends = np.subtract(one.corners[1], one.corners[0]) * SPACING[1:]
        assert np.linalg.norm(ends) == pytest.approx(one.diameter_mm)
        np.testing.assert_allclose(np.mean(one.corners, axis=0), one.centroid)
        assert one.measured == (one.slice != 1)
        assert one.position_mm == pytest.approx(one.slice * 1.1)


def test_the_table_has_a_row_per_case_label_and_slice(tmp_path: Path) -> None:
    mask = np.zeros((2, 4, 4), np.uint8)
    mask[:, 1:3, 0:3] = 5
    mask[1, 3, 3] = 201
    path = tmp_path / "new" / "table.csv"
    write_measurements(path, [("1_t2", measure(mask, SPACING, [0])), ("2_t2", ())])
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["case"], row["label"], row["slice"], row["measured"]) for row in rows] == [
        ("1_t2", "5", "0", "yes"), ("1_t2", "5", "1", "no"), ("1_t2", "201", "1", "no"),
    ]  # fmt: skip
    assert float(rows[0]["area_mm2"]) == 6.0
    assert (rows[0]["centroid_row"], rows[0]["centroid_column"]) == ("1.50", "1.00")
    assert (rows[0]["box_r0"], rows[0]["box_c1"]) == ("1", "2")


def test_a_table_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_measurements(tmp_path / "file" / "table.csv", [])
