from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.volumes import read_image
from autospine.volumes.arrays import image_of_array

VALUES = np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)


def test_a_canonical_array_stays_as_it_is() -> None:
    volume = image_of_array(VALUES, spacing=(4, 0.6, 0.5))
    assert np.array_equal(volume.array, VALUES)
    assert volume.spacing == (4, 0.6, 0.5)
    assert volume.geometry.orientation == "LIP"
    thin = image_of_array(VALUES, spacing=(0.5, 0.6, 4))
    assert np.array_equal(thin.array, VALUES)
    assert thin.spacing == (0.5, 0.6, 4)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_an_array_with_an_affine_is_the_file_that_it_would_be(tmp_path: Path, codes: str) -> None:
    orientation = nibabel.orientations.axcodes2ornt(codes)
    affine = np.diag([4.0, 0.6, 0.5, 1.0])[:, [0, 1, 2, 3]] @ np.eye(4)
    affine = affine @ nibabel.orientations.inv_ornt_aff(orientation, VALUES.shape)
    image = nibabel.Nifti1Image(VALUES, affine)
    nibabel.save(image, tmp_path / "a.nii.gz")
    stored, given = read_image(tmp_path / "a.nii.gz"), image_of_array(VALUES, affine=affine)
    assert np.array_equal(given.array, stored.array)
    assert given.geometry.same_grid(stored.geometry)


@pytest.mark.parametrize(
    ("array", "grid", "line"),
    [
        (VALUES, {}, "the array: needs one grid; give either spacing= or affine="),
        (VALUES, {"spacing": (1, 1, 1), "affine": np.eye(4)}, "the array: needs one grid"),
        (VALUES[0], {"spacing": (1, 1, 1)}, "the array: has the shape (7, 5) and the type float32"),
        (VALUES[:0], {"spacing": (1, 1, 1)}, "the array: has the shape (0, 7, 5)"),
        (VALUES.astype(complex), {"spacing": (1, 1, 1)}, "the array: has the shape (3, 7, 5) and the type complex128"),
        (VALUES * np.nan, {"spacing": (1, 1, 1)}, "the array: holds NaN or infinite values"),
        (VALUES, {"spacing": (1, 1)}, "spacing=: holds 2 numbers"),
        (VALUES, {"spacing": (4, 0.6, 1e9)}, "the array: has a grid that no scan has"),
        (VALUES, {"affine": np.eye(3)}, "affine=: has the shape (3, 3)"),
        (VALUES, {"affine": np.zeros((4, 4))}, "the array: has a grid that no scan has"),
    ],
)
def test_what_is_no_scan(array: np.ndarray, grid: dict, line: str) -> None:
    with pytest.raises(UserError) as error:
        image_of_array(array, **grid)
    assert str(error.value).startswith(line)
