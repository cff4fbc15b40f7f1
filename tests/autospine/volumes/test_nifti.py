from __future__ import annotations

import logging

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autospine.core.errors import UserError
from autospine.volumes import read_header, read_image, write_volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAIN = np.diag([1.0, 2.0, 3.0, 1.0])
SHEARED = PLAIN + np.array([[0, 0.6, 0, 5], [0, 0, 0.4, -7], [0, 0, 0, 9], [0, 0, 0, 0]])
SHIFTED = PLAIN + np.array([[0, 0, 0, 3.0], [0, 0, 0, 4], [0, 0, 0, 0], [0, 0, 0, 0]])
VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6)


def save(path, sform, sform_code, qform, qform_code) -> None:
    image = nibabel.Nifti1Image(VALUES, None)
    if qform is not None:
        image.set_qform(qform, qform_code)
    if sform is not None:
        image.set_sform(sform, sform_code)
    path.write_bytes(image.to_bytes())


def messages(caplog, path) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        read_image(path)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 1), (4, 1)])
def test_the_sform_wins_a_conflict_with_a_warning(tmp_path, caplog, codes):
    path = tmp_path / "s.nii"
    save(path, SHIFTED, codes[0], PLAIN, codes[1])
    np.testing.assert_allclose(read_header(path).affine(), LPS @ SHIFTED, atol=1e-5)
    (message,) = messages(caplog, path)
    assert message == f"{path}: its sform and qform differ by up to 5 mm; the sform is used"


def test_a_sheared_sform_wins_over_the_qform_that_simpleitk_takes(tmp_path, caplog):
    path = tmp_path / "s.nii"
    save(path, SHEARED, 1, PLAIN, 1)
    assert SimpleITK.ReadImage(str(path)).GetOrigin() == (0, 0, 0)
    np.testing.assert_allclose(read_header(path).affine(), LPS @ SHEARED, atol=1e-5)
    assert [("sform and qform differ" in text, "right angles" in text) for text in messages(caplog, path)] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("sform", "qform", "expected"),
    [(SHIFTED, None, SHIFTED), (None, SHIFTED, SHIFTED), (SHIFTED, SHIFTED, SHIFTED)],
)
def test_one_orientation_or_two_that_agree_need_no_warning(tmp_path, caplog, sform, qform, expected):
    path = tmp_path / "s.nii"
    save(path, sform, 1, qform, 1)
    np.testing.assert_allclose(read_header(path).affine(), LPS @ expected, atol=1e-5)
    assert messages(caplog, path) == []


def test_a_code_of_zero_does_not_count(tmp_path, caplog):
    path = tmp_path / "s.nii"
    save(path, SHIFTED, 0, PLAIN, 1)
    np.testing.assert_allclose(read_header(path).affine(), LPS @ PLAIN, atol=1e-5)
    assert messages(caplog, path) == []
    save(path, SHIFTED, 0, PLAIN, 0)
    assert messages(caplog, path) == [f"{path}: states no orientation (sform and qform codes are 0); read as LPS"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_sheared_files_are_read_and_written_with_their_affine(tmp_path, caplog, suffix):
    path, copy = tmp_path / f"s{suffix}", tmp_path / f"copy{suffix}"
    nibabel.save(nibabel.Nifti1Image(VALUES, SHEARED), path)
    with caplog.at_level(logging.WARNING):
        volume = read_image(path)
    (record,) = caplog.records
    assert f"{path}: its axes miss right angles" in record.getMessage()
    write_volume(volume, copy)
    np.testing.assert_array_equal(nibabel.load(copy).affine, nibabel.load(path).affine)
    np.testing.assert_array_equal(np.asarray(nibabel.load(copy).dataobj), VALUES)


@given(
    st.tuples(*(st.floats(-180, 180) for _ in range(3))),
    st.tuples(*(st.floats(0.2, 6) for _ in range(3))),
    st.tuples(*(st.floats(-0.3, 0.3) for _ in range(3))),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_affine_comes_back(tmp_path_factory, turn, spacing, shear, mirrored):
    matrix = np.eye(3)
    matrix[np.triu_indices(3, 1)] = shear
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ matrix * spacing
    affine[:3, 0] *= -1 if mirrored else 1
    affine[:3, 3] = 10, -20, 30
    folder = tmp_path_factory.mktemp("nifti")
    nibabel.save(nibabel.Nifti1Image(VALUES, affine), folder / "a.nii")
    write_volume(read_image(folder / "a.nii"), folder / "b.nii")
    expected, found = nibabel.load(folder / "a.nii"), nibabel.load(folder / "b.nii")
    np.testing.assert_allclose(found.affine, expected.affine, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(found.dataobj), VALUES)


def test_nifti_2_and_metres(tmp_path):
    path = tmp_path / "s.nii"
    nibabel.save(nibabel.Nifti2Image(VALUES, SHIFTED), path)
    np.testing.assert_allclose(read_header(path).affine(), LPS @ SHIFTED, atol=1e-5)
    assert read_image(path).array.max() == 119
    image = nibabel.Nifti1Image(VALUES, np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, path)
    np.testing.assert_allclose(read_header(path).spacing, (1, 2, 3), rtol=1e-6)


def test_singular_and_infinite_orientations_are_refused(tmp_path):
    path = tmp_path / "s.nii"
    for bad in (0.0, np.nan):
        save(path, PLAIN, 1, None, 0)
        content = bytearray(path.read_bytes())
        content[300:304] = np.float32(bad).tobytes()  # srow_y[1]
        path.write_bytes(content)
        with pytest.raises(UserError, match="impossible grid"):
            read_image(path)
