"""Slices of real scans left out and interpolated; benchmarks/reconstruction.py does all of them and prints more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.reconstruction.grid import SliceGrid
from autospine.reconstruction.masks import interpolate_mask
from autospine.volumes import read_mask


@pytest.mark.parametrize(("subdivisions", "bar"), [(2, 0.957), (4, 0.927)])
def test_masks_are_near_those_of_slices_left_out(real_data: Path, subdivisions: int, bar: float) -> None:
    dices = []
    for path in sorted((real_data / "t2" / "masks").glob("*.mha"))[:4]:
        volume = read_mask(path)
        kept = volume.array[::subdivisions]
        gap, rows, columns = volume.spacing[0] * subdivisions, volume.spacing[1], volume.spacing[2]
        grid = SliceGrid(len(kept), gap, subdivisions)
        left_out = np.setdiff1d(np.arange(grid.count), grid.measured_indices)
        ours, true = interpolate_mask(kept, grid, (gap, rows, columns))[left_out], volume.array[left_out]
        for value in np.unique(true)[1:]:
            both = ((ours == value) & (true == value)).sum()
            dices.append(2 * both / ((ours == value).sum() + (true == value).sum()))
    assert np.mean(dices) >= bar
