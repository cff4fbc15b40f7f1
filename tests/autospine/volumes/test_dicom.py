from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from autospine.core.errors import UserError
from autospine.volumes import dicom, find_volumes, read_header, read_image, write_volume

SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])  # rows downwards, columns backwards
NAME = "Doe^Jane"


def write_series(
    folder: Path,
    positions=(0, 4, 8, 12, 16, 20),
    uid: str = "1.2.3.4",
    number: str = "1",
    step=(1.0, 0, 0),
    direction: np.ndarray = SAGITTAL,
    kind: type = np.int16,
) -> np.ndarray:
    """Writes slices at `positions` along `step`, numbered backwards, and returns their values."""
    folder.mkdir(exist_ok=True)
    values = (np.random.default_rng(0).random((len(positions), 10, 12)) * 1000).astype(kind)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index, position in enumerate(positions):
        image = SimpleITK.GetImageFromArray(values[index : index + 1])
        place = np.add(np.multiply(step, position), (0, -50, 100))
        image.SetSpacing((0.5, 0.75, 4.0))
        image.SetOrigin([float(x) for x in place])
        image.SetDirection([float(x) for x in direction.ravel()])
        tags = {
            "0008|0060": "MR",
            "0010|0010": NAME,
            "0008|103e": f"knee of {NAME}",
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0008|0018": f"{uid}.{index}",
            "0020|0011": number,
            "0020|0013": str(len(positions) - index),
            "0020|0032": "\\".join(f"{x:g}" for x in place),
            "0020|0037": "\\".join(f"{x:g}" for x in direction[:, :2].T.ravel()),
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid}_{index}.dcm"))
        writer.Execute(image)
    return values


@pytest.fixture(autouse=True)
def silent(capfd, caplog):
    """Nothing on stderr, and no patient's name in the log."""
    caplog.set_level(logging.DEBUG)
    yield
    assert capfd.readouterr().err == ""
    assert "Doe" not in caplog.text


def test_a_series_is_sorted_by_position(tmp_path):
    folder = tmp_path / "one"
    values = write_series(folder)
    (folder / "notes.txt").write_text("hello")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    volume = read_image(folder)
    np.testing.assert_array_equal(volume.array, values)  # positions run leftwards, as the canonical slices
    assert volume.spacing == pytest.approx((4, 0.75, 0.5))
    np.testing.assert_allclose(volume.canonical_affine()[:3, 3], (0, -50, 100))
    assert read_header(folder) == volume.geometry
    assert find_volumes(folder) == [folder]


def test_the_grid_is_that_of_simpleitk(tmp_path):
    write_series(tmp_path / "one")
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "one"))
    image = SimpleITK.ReadImage(names)
    geometry = read_header(tmp_path / "one")
    assert geometry.size == image.GetSize()
    np.testing.assert_allclose(geometry.spacing, image.GetSpacing())
    np.testing.assert_allclose(geometry.origin, image.GetOrigin())
    np.testing.assert_allclose(geometry.direction, image.GetDirection(), atol=1e-12)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_masks_of_a_series_are_written_beside_it(tmp_path, suffix):
    write_series(tmp_path / "one")
    volume = read_image(tmp_path / "one")
    write_volume(volume, tmp_path / f"one{suffix}")
    copy = read_image(tmp_path / f"one{suffix}")
    np.testing.assert_array_equal(copy.array, volume.array)
    assert volume.geometry.same_grid(copy.geometry, 1e-4)


def test_one_slice(tmp_path):
    values = write_series(tmp_path / "one", positions=(8,))
    volume = read_image(tmp_path / "one")
    np.testing.assert_array_equal(volume.array, values)


def test_several_series_are_listed(tmp_path):
    write_series(tmp_path / "two")
    write_series(tmp_path / "two", positions=(0, 5, 10), uid="1.2.3.5", number="7")
    words = r"holds 2 DICOM series: 1\.2\.3\.4 \(series 1, 6 files\), 1\.2\.3\.5 \(series 7, 3 files\); put one"
    with pytest.raises(UserError, match=words) as caught:
        read_image(tmp_path / "two")
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ((0, 4, 8, 16, 20, 24), "missing or uneven slices .4 mm apart, 8 mm at worst"),
        ((0, 4, 8, 8, 12, 16), "several slices at one position"),
        ((0, 4, 8, 12, 16, 30), "missing or uneven"),
    ],
)
def test_missing_and_doubled_slices_are_refused(tmp_path, positions, words):
    write_series(tmp_path / "one", positions)
    for read in (read_header, read_image):
        with pytest.raises(UserError, match=words):
            read(tmp_path / "one")


def test_the_very_same_slice_twice_is_one_slice_with_a_note(tmp_path, caplog):
    values = write_series(tmp_path / "one")
    for index, name in ((2, "a copy.dcm"), (4, "another.dcm")):
        shutil.copy(tmp_path / "one" / f"1.2.3.4_{index}.dcm", tmp_path / "one" / name)
    np.testing.assert_array_equal(read_image(tmp_path / "one").array, values)
    (record,) = caplog.records
    assert "one: 2 slices given twice, taken once (" in record.getMessage()


def test_pipes_devices_and_circles_of_links_are_passed_by(tmp_path):
    values = write_series(tmp_path / "one")
    os.mkfifo(tmp_path / "one" / "pipe.dcm")
    (tmp_path / "one" / "device.dcm").symlink_to("/dev/zero")
    (tmp_path / "one" / "circle.dcm").symlink_to("circle.dcm")
    assert find_volumes(tmp_path) == [tmp_path / "one"]
    np.testing.assert_array_equal(read_image(tmp_path / "one").array, values)


def test_names_that_are_not_utf_8_are_read(tmp_path):
    """A Latin-1 name, as older systems wrote it."""
    folder = tmp_path / os.fsdecode(b"s\xe9rie")
    values = write_series(tmp_path / "one")
    (tmp_path / "one").rename(folder)
    (folder / "1.2.3.4_2.dcm").rename(folder / os.fsdecode(b"\xe9.dcm"))
    np.testing.assert_array_equal(read_image(folder).array, values)


def aborting_on(files: tuple[Path, ...]) -> int:
    """Stands for a native reader that one file crashes."""
    if any("_3" in path.name for path in files):
        os.abort()
    return len(files)


def test_a_file_that_crashes_the_reader_is_named(tmp_path):
    write_series(tmp_path / "one")
    files = tuple(sorted((tmp_path / "one").iterdir()))
    with pytest.raises(UserError, match=r"1\.2\.3\.4_3\.dcm: makes the DICOM reader crash"):
        dicom._apart(tmp_path / "one", files, aborting_on)
    assert dicom._apart(tmp_path / "one", files[:2], aborting_on) == 2


def write_frames(folder: Path, positions=(0.0, 4.0, 8.0, 12.0), **tags: float) -> np.ndarray:
    """Writes one file of several frames; without positions their groups are left out."""
    folder.mkdir()
    values = (np.random.default_rng(0).random((len(positions) or 4, 10, 12)) * 200).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 4.0))
    SimpleITK.WriteImage(image, str(folder / "frames.dcm"))
    dataset = pydicom.dcmread(folder / "frames.dcm")
    if positions:
        for frame, position in zip(dataset.PerFrameFunctionalGroupsSequence, positions, strict=True):
            frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, position]
    else:
        del dataset.PerFrameFunctionalGroupsSequence
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(folder / "frames.dcm")
    return values


def test_frames_lie_where_their_positions_say(tmp_path, caplog):
    values = write_frames(tmp_path / "one")
    assert read_header(tmp_path / "one").spacing == pytest.approx((0.5, 0.75, 4.0))
    assert sorted(read_image(tmp_path / "one").array.ravel()) == sorted(values.ravel())
    assert caplog.records == []
    write_frames(tmp_path / "gap", (0.0, 4.0, 12.0, 16.0))
    with pytest.raises(UserError, match=r"frames\.dcm: has missing or uneven slices"):
        read_image(tmp_path / "gap")
    write_frames(tmp_path / "moments", (0.0, 0.0, 0.0, 0.0))
    with pytest.raises(UserError, match="several slices at one position"):
        read_image(tmp_path / "moments")


@pytest.mark.parametrize(
    ("tags", "gap", "tag"),
    [
        ({"SliceThickness": 4.0}, 4.0, "SliceThickness"),
        ({"SliceThickness": 4.0, "SpacingBetweenSlices": 4.4}, 4.4, "SpacingBetweenSlices"),
    ],
)
def test_frames_without_positions_take_the_distance_of_a_tag_and_say_so(tmp_path, caplog, tags, gap, tag):
    write_frames(tmp_path / "one", (), **tags)
    assert read_image(tmp_path / "one").geometry.spacing[2] == gap
    (record,) = caplog.records
    assert f"gives no positions of its 4 frames; taken as {gap:g} mm apart, as its {tag} says" in record.getMessage()


def test_frames_of_which_nothing_says_where_they_lie_are_refused(tmp_path):
    write_frames(tmp_path / "one", ())
    with pytest.raises(UserError, match=r"frames\.dcm: does not say how far apart its 4 frames lie"):
        read_image(tmp_path / "one")


def test_slightly_uneven_slices_get_a_warning(tmp_path, caplog):
    write_series(tmp_path / "one", (0, 4, 8.3, 12, 16, 20))
    read_image(tmp_path / "one")
    (record,) = caplog.records
    assert "one: its slices lie up to 0.3 mm off an even grid of 4 mm" in record.getMessage()


def test_slices_of_different_directions_are_refused(tmp_path):
    write_series(tmp_path / "one")
    write_series(tmp_path / "one", (30, 34), direction=np.eye(3), step=(0, 0, 1.0))
    with pytest.raises(UserError, match="different sizes or directions"):
        read_image(tmp_path / "one")


def test_a_tilted_stack_keeps_its_slant(tmp_path):
    values = write_series(tmp_path / "one", step=(1.0, 0.1, 0))
    geometry = read_header(tmp_path / "one")
    assert geometry.skew() == pytest.approx(np.degrees(np.arctan(0.1)), rel=1e-3)
    np.testing.assert_allclose((geometry.canonical().affine() @ (5, 0, 0, 1))[:3], (20, -48, 100), atol=1e-6)
    np.testing.assert_array_equal(read_image(tmp_path / "one").array, values)


@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_truncated_slice_is_named(tmp_path, index):
    write_series(tmp_path / "one")
    path = tmp_path / "one" / f"1.2.3.4_{index}.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 100])
    with pytest.raises(UserError, match=rf"holds 1 DICOM files that cannot be read, {path.name} first"):
        read_image(tmp_path / "one")


def test_an_empty_slice_leaves_a_gap(tmp_path):
    write_series(tmp_path / "one")
    (tmp_path / "one" / "1.2.3.4_3.dcm").write_bytes(b"")
    with pytest.raises(UserError, match="missing or uneven"):
        read_image(tmp_path / "one")


def test_colour_is_refused(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    image = SimpleITK.Image([4, 5, 1], SimpleITK.sitkVectorUInt8, 3)
    SimpleITK.WriteImage(image, str(folder / "a.dcm"))
    with pytest.raises(UserError, match="3 values per voxel"):
        read_image(folder)
