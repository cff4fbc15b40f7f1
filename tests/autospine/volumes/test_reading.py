from __future__ import annotations

import logging
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from autospine.core.errors import UserError
from autospine.volumes import read_header, read_image, read_mask, write_volume

SUFFIXES = (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("index", range(48))
def test_a_marker_keeps_its_place_in_space(tmp_path, save, directions, suffix, index):
    array = np.zeros((4, 5, 6), np.int16)
    array[1, 3, 2] = 9
    path = tmp_path / f"scan{suffix}"
    save(path, array, directions[index])
    volume = read_image(path)
    expected = SimpleITK.ReadImage(str(path)).TransformIndexToPhysicalPoint((1, 3, 2))
    found = np.argwhere(volume.array == 9)
    assert len(found) == 1
    np.testing.assert_allclose((volume.canonical_affine() @ [*found[0], 1])[:3], expected, atol=1e-4)
    steps = volume.canonical_affine()[:3, :3]  # leftwards, downwards, backwards in LPS
    np.testing.assert_allclose(steps, [[volume.spacing[0], 0, 0], [0, 0, volume.spacing[2]],
                                       [0, -volume.spacing[1], 0]], atol=1e-5)  # fmt: skip
    assert read_header(path) == volume.geometry


def test_an_image_is_contiguous_writable_float32(scan):
    for suffix in SUFFIXES:
        path, array = scan(suffix)
        volume = read_image(path)
        assert volume.array.dtype == np.float32
        assert volume.array.flags.c_contiguous
        assert volume.array.flags.writeable
        assert volume.array.flags.owndata
        assert volume.path == path
        assert sorted(volume.array.ravel()) == sorted(array.ravel())


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_pixel_type_is_read_right(tmp_path, save, suffix, dtype):
    array = (np.random.default_rng(1).random((3, 4, 5)) * 100).astype(dtype)
    save(tmp_path / f"s{suffix}", array, np.eye(3))
    expected = array.transpose(0, 2, 1)[:, ::-1].astype(np.float32)
    np.testing.assert_array_equal(read_image(tmp_path / f"s{suffix}").array, expected)


def test_big_endian_and_raw_metaimages(tmp_path):
    array = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = True\nDimSize = 2 3 4\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path = tmp_path / "s.mha"
    path.write_bytes(head.encode() + array.tobytes(order="F"))
    np.testing.assert_array_equal(read_image(path).array, array.transpose(0, 2, 1)[:, ::-1])


def test_slope_and_intercept_of_nifti_count(tmp_path):
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(2.0, 5.0)
    path = tmp_path / "s.nii"
    path.write_bytes(image.to_bytes())
    assert read_image(path).array.max() == nibabel.load(path).get_fdata().max()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_slice_is_legal(tmp_path, save, suffix):
    path = tmp_path / f"s{suffix}"
    sagittal = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
    save(path, np.arange(20, dtype=np.int16).reshape(4, 5, 1), sagittal)
    assert read_image(path).array.shape == (1, 5, 4)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_a_fourth_axis_must_hold_one_volume(tmp_path, suffix):
    path = str(tmp_path / f"s{suffix}")
    volume = SimpleITK.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    SimpleITK.WriteImage(SimpleITK.JoinSeries([volume]), path)
    assert read_image(path).array.shape == (5, 3, 4)
    SimpleITK.WriteImage(SimpleITK.JoinSeries([volume, volume]), path)
    with pytest.raises(UserError, match=r"holds 2 volumes \(4 axes\); split it"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_pictures_and_colours_are_refused(tmp_path, suffix):
    path = str(tmp_path / f"s{suffix}")
    SimpleITK.WriteImage(SimpleITK.Image(4, 5, SimpleITK.sitkUInt8), path)
    with pytest.raises(UserError, match="holds a picture of 2 axes"):
        read_header(path)
    SimpleITK.WriteImage(SimpleITK.Image([4, 5, 6], SimpleITK.sitkVectorUInt8, 3), path)
    with pytest.raises(UserError, match=r"holds 3 (values per voxel|volumes)"):
        read_image(path)


def test_complex_values_are_refused(tmp_path):
    path = tmp_path / "s.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.complex64), np.eye(4)), path)
    with pytest.raises(UserError, match="complex64"):
        read_image(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_some_nan_are_replaced_with_a_warning(tmp_path, save, caplog, suffix):
    array = np.full((3, 4, 5), 7, np.float32)
    array[0, 0, 0], array[1, 1, 1], array[2, 2, 2] = np.nan, -np.inf, 3
    path = tmp_path / f"s{suffix}"
    save(path, array, np.eye(3))
    with caplog.at_level(logging.WARNING):
        volume = read_image(path)
    assert np.isfinite(volume.array).all()
    assert (volume.array == 3).sum() == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 voxels are NaN or infinite; read as 3, the smallest of the others"
    ]
    with pytest.raises(UserError, match="holds 2 voxels that are NaN"):
        read_mask(path)


def test_images_without_a_finite_voxel_or_beyond_float32_are_refused(tmp_path, save):
    path = tmp_path / "s.mha"
    save(path, np.full((3, 4, 5), np.nan), np.eye(3))
    with pytest.raises(UserError, match="no finite voxel"):
        read_image(path)
    save(path, np.full((3, 4, 5), 1e300), np.eye(3))
    with pytest.raises(UserError, match="beyond 3e38"):
        read_image(path)


@pytest.mark.parametrize(
    ("highest", "stored", "expected"),
    [(225, "int16", "uint8"), (1, "float64", "uint8"), (300, "float32", "uint16"), (70000, "int32", "int32")],
)
def test_masks_take_the_smallest_type(tmp_path, save, highest, stored, expected):
    array = np.zeros((3, 4, 5), stored)
    array[1, 2, 3] = highest
    save(tmp_path / "m.nrrd", array, np.eye(3))
    mask = read_mask(tmp_path / "m.nrrd").array
    assert mask.dtype == expected
    assert mask.max() == highest


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "1 voxels that are no whole numbers"),
        (-3, r'label -3 \(1 voxels\); number .*"ignore_label": -3 in dataset'),
        (2**31, "up to"),
    ],
)
def test_masks_that_are_none_are_refused(tmp_path, save, value, words):
    array = np.zeros((3, 4, 5))
    array[1, 2, 3] = value
    save(tmp_path / "m.mha", array, np.eye(3))
    with pytest.raises(UserError, match=words):
        read_mask(tmp_path / "m.mha")


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_a_declared_negative_label_is_read_as_another_and_written_as_it_was(tmp_path, save, suffix):
    array = np.zeros((3, 4, 5), np.int16)
    array[1, 2, 3], array[0, 0, 0] = 7, -1
    save(tmp_path / f"m{suffix}", array, np.eye(3))
    mask = read_mask(tmp_path / f"m{suffix}", negative=(-1, 255))
    assert sorted(np.unique(mask.array)) == [0, 7, 255] and mask.array.dtype == np.uint8
    write_volume(mask, tmp_path / f"again{suffix}")
    again = read_mask(tmp_path / f"again{suffix}", negative=(-1, 300))
    assert sorted(np.unique(again.array)) == [0, 7, 300]
    array[2, 2, 2] = 255
    save(tmp_path / f"m{suffix}", array, np.eye(3))
    with pytest.raises(UserError, match="holds both -1, its ignore label, and 255"):
        read_mask(tmp_path / f"m{suffix}", negative=(-1, 255))


def test_paths_that_are_no_volumes(tmp_path):
    cases = {
        "nothing.mha": "does not exist",
        "notes.txt": "no suffix of a volume",
    }
    (tmp_path / "notes.txt").write_text("hello")
    for name, words in cases.items():
        with pytest.raises(UserError, match=words):
            read_image(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no scan; give a \.mha, .*or a DICOM series"):
        read_image(tmp_path / "empty")
    (tmp_path / "a.mha").write_text("x")
    (tmp_path / "b.NII.GZ").write_text("x")
    with pytest.raises(UserError, match="is a folder of 2 volumes; name one of its files"):
        read_image(tmp_path)


def test_no_permission_is_said(scan):
    path, _ = scan(".mha")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(UserError, match="check its permissions"):
        read_image(path)


def test_headers_do_not_need_the_pixels(scan):
    for suffix in (".mha", ".nii.gz", ".nrrd"):
        path, _ = scan(suffix)
        whole = read_header(path)
        path.write_bytes(path.read_bytes()[: -(path.stat().st_size // 4)])
        assert read_header(path) == whole


def test_real_scans_are_read_as_simpleitk_reads_them(real_scans):
    for path in real_scans:
        volume = read_image(path)
        image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "PIL")
        # PIL: columns backwards, rows downwards, slices leftwards
        np.testing.assert_array_equal(volume.array, SimpleITK.GetArrayViewFromImage(image).astype(np.float32))
        np.testing.assert_allclose(volume.spacing, image.GetSpacing()[::-1], rtol=1e-6)
        assert Path(path) == volume.path
