from __future__ import annotations

import errno
import gzip
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autospine.core.errors import UserError
from autospine.volumes import Geometry, Volume, read_image, read_mask, write_volume

SUFFIXES = (".mha", ".nii", ".nii.gz", ".nrrd")


def figures(path: Path) -> list[float]:
    image = SimpleITK.ReadImage(str(path))
    return [*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("index", range(48))
def test_writing_undoes_reading(tmp_path, save, directions, suffix, index):
    array = (np.random.default_rng(index).random((4, 5, 6)) * 225).astype(np.uint8)
    path, copy = tmp_path / f"scan{suffix}", tmp_path / f"copy{suffix}"
    save(path, array, directions[index])
    write_volume(read_mask(path), copy)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(copy))).T, array)
    np.testing.assert_allclose(figures(copy), figures(path), atol=1e-6 if ".nii" in suffix else 1e-13)


def assert_kept(folder: Path, suffix: str, geometry: Geometry) -> None:
    array = (np.random.default_rng(0).random(geometry.size) * 1000).astype(np.float32)
    write_volume(Volume.from_file_order(array, geometry), folder / f"s{suffix}")
    image = SimpleITK.ReadImage(str(folder / f"s{suffix}"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image).T, array)
    found = [*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]
    expected = [*geometry.spacing, *geometry.origin, *geometry.direction]
    np.testing.assert_allclose(found, expected, atol=2e-5 if ".nii" in suffix else 1e-12)


@given(
    st.sampled_from(SUFFIXES),
    st.tuples(*(st.floats(-180, 180) for _ in range(3))),
    st.tuples(*(st.floats(0.2, 6) for _ in range(3))),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_oblique_grids_come_back(tmp_path_factory, suffix, turn, spacing, mirrored):
    direction = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    direction[:, 2] *= -1 if mirrored else 1
    geometry = Geometry((4, 5, 6), spacing, (10.5, -20.25, 30.0), tuple(float(x) for x in direction.ravel()))
    assert_kept(tmp_path_factory.mktemp("oblique"), suffix, geometry)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_skewed_grids_come_back(tmp_path, suffix):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 0.5
    assert_kept(tmp_path, suffix, Geometry.from_affine((4, 5, 6), affine))


def test_metaimages_keep_every_digit(tmp_path, save):
    direction = Rotation.from_euler("xyz", (13, 27, 31), degrees=True).as_matrix()
    save(tmp_path / "a.mha", np.zeros((3, 4, 5), np.uint8), direction, (1 / 3, 0.1, np.pi), (1e-7, 1e5, -1 / 7))
    write_volume(read_image(tmp_path / "a.mha"), tmp_path / "b.mha")
    assert figures(tmp_path / "b.mha") == figures(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("given_type", "highest", "stored"),
    [
        ("int64", 225, "8-bit unsigned integer"),
        ("int32", 300, "16-bit unsigned integer"),
        ("bool", 1, "8-bit unsigned integer"),
        ("float16", 1, "32-bit float"),
        ("float64", 1, "64-bit float"),
        (">u2", 256, "16-bit unsigned integer"),
    ],
)
def test_values_take_the_smallest_type(tmp_path, suffix, given_type, highest, stored):
    geometry = Geometry((3, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    array = np.zeros((3, 4, 5), given_type)
    array[1, 2, 3] = highest
    write_volume(Volume.from_file_order(array, geometry), tmp_path / f"m{suffix}")
    image = SimpleITK.ReadImage(str(tmp_path / f"m{suffix}"))
    assert image.GetPixelIDTypeAsString() == stored
    assert image[1, 2, 3] == highest


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_masks_are_compressed_and_files_are_reproducible(tmp_path, suffix):
    geometry = Geometry((40, 40, 40), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    volume = Volume.from_file_order(np.zeros((40, 40, 40), np.uint8), geometry)
    for name in ("a", "b"):
        write_volume(volume, tmp_path / f"{name}{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert len(content) < 2000
    assert content == (tmp_path / f"b{suffix}").read_bytes()


def test_only_the_grid_of_the_original_is_copied(tmp_path, scan):
    path, _ = scan(".nrrd")
    image = SimpleITK.ReadImage(str(path))
    image.SetMetaData("PatientName", "Doe^Jane")
    SimpleITK.WriteImage(image, str(path))
    assert b"Doe" in path.read_bytes()
    for suffix in SUFFIXES:
        copy = tmp_path / f"copy{suffix}"
        write_volume(read_image(path), copy)
        content = copy.read_bytes()
        assert b"Doe" not in (gzip.decompress(content) if suffix == ".nii.gz" else content)


def test_formats_can_be_exchanged(tmp_path, scan):
    path, _ = scan(".mha")
    volume = read_image(path)
    for suffix in SUFFIXES:
        write_volume(volume, tmp_path / "deep" / f"x{suffix}")
        other = read_image(tmp_path / "deep" / f"x{suffix}")
        np.testing.assert_array_equal(other.array, volume.array)
        assert volume.geometry.same_grid(other.geometry, 1e-4)


@pytest.mark.parametrize("name", ["x.mhd", "x.png", "x"])
def test_other_suffixes_are_refused(tmp_path, scan, name):
    volume = read_image(scan(".mha")[0])
    with pytest.raises(UserError, match="no suffix that can be written"):
        write_volume(volume, tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file(tmp_path, scan, monkeypatch, suffix):
    volume = read_image(scan(".mha")[0])
    target = tmp_path / "out" / f"x{suffix}"
    write_volume(volume, target)
    before = target.read_bytes()

    def full(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="the disk is full"):
        write_volume(volume.with_array(volume.array + 1), target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("this user cannot mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk(small_disk, capfd):
    geometry = Geometry((60, 60, 60), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    noise = np.random.default_rng(0).integers(0, 255, geometry.size)
    for suffix in SUFFIXES:
        with pytest.raises(UserError, match="the disk is full"):
            write_volume(Volume.from_file_order(noise, geometry), small_disk / f"x{suffix}")
        assert list(small_disk.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_a_folder_that_cannot_be_written(scan):
    volume = read_image(scan(".mha")[0])
    with pytest.raises(UserError, match="/proc/nowhere"):
        write_volume(volume, "/proc/nowhere/x.mha")


def test_real_scans_and_masks_come_back(tmp_path, real_scans):
    for path in real_scans:
        volume = read_image(path)
        copy = tmp_path / path.name
        write_volume(volume, copy)
        before, after = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(copy))
        np.testing.assert_array_equal(SimpleITK.GetArrayViewFromImage(after), SimpleITK.GetArrayViewFromImage(before))
        np.testing.assert_allclose(figures(copy), figures(path), atol=1e-5 if ".nii" in path.name else 0)
