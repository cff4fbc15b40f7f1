from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from autospine.commands.reconstruct import main
from autospine.dataset.cases import load_dataset
from autospine.volumes import read_image, read_mask

OBLIQUE = (0.0, -0.6, -0.8, 1.0, 0.0, 0.0, 0.0, 0.8, -0.6)


@pytest.fixture
def folder(tmp_path: Path, spine: Callable[..., None]) -> Path:
    """Two spines of 6 slices every 4 mm."""
    for case in ("1_t2", "2_t2"):
        spine(tmp_path / "data", case)
    return tmp_path / "data"


def write_series(folder: Path, positions: tuple[float, ...]) -> None:
    """A DICOM series whose files are numbered against their positions."""
    folder.mkdir()
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index, position in enumerate(positions):
        image = SimpleITK.GetImageFromArray(np.full((1, 8, 9), 10 * position, np.int16))
        image.SetSpacing((0.5, 0.75, 4.0))
        tags = {
            "0008|0060": "MR", "0020|000d": "1.2", "0020|000e": "1.2.3", "0008|0018": f"1.2.3.{index}",
            "0020|0013": str(len(positions) - index), "0020|0032": f"{position}\\-50\\100",
            "0020|0037": "0\\1\\0\\0\\0\\-1",
        }  # fmt: skip
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{index}.dcm"))
        writer.Execute(image)


def test_scans_alone_go_to_the_folder(folder: Path, tmp_path: Path, command) -> None:
    answer = command(main, "-i", folder, "-o", tmp_path / "fine")
    assert answer.status == 0
    assert "1_t2: 6 slices measured every 4 mm left-right, 15 interpolated: 21 every 1 mm" in answer.out
    assert "2 scans written to" in answer.out
    assert sorted(path.name for path in (tmp_path / "fine").iterdir()) == ["1_t2.mha", "2_t2.mha"]


def test_measured_slices_lie_where_they_were(tmp_path: Path, command) -> None:
    """SimpleITK reads values of the new file at the places of the old one's voxels: an oblique coronal scan."""
    values = np.random.default_rng(0).normal(0, 1, (5, 12, 11)).astype(np.float32)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.9, 4.4))
    image.SetOrigin((10, -20, 30))
    image.SetDirection(OBLIQUE)
    SimpleITK.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    image = SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    assert command(main, "-i", tmp_path / "scan.nii.gz", "-o", tmp_path / "fine").status == 0
    fine = SimpleITK.ReadImage(str(tmp_path / "fine" / "scan.nii.gz"))
    assert fine.GetSize() == (11, 12, 17)
    assert fine.GetSpacing() == pytest.approx((0.7, 0.9, 1.1), abs=1e-5)
    np.testing.assert_allclose(fine.GetOrigin(), image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(fine.GetDirection(), image.GetDirection(), atol=1e-6)
    for index in np.ndindex(11, 12, 5):
        place = image.TransformIndexToPhysicalPoint([int(i) for i in index])
        found = fine.TransformPhysicalPointToIndex(place)
        assert fine.GetPixel(found) == image.GetPixel([int(i) for i in index])


def test_masks_make_a_data_set_and_a_table(folder: Path, tmp_path: Path, command) -> None:
    table, fine = tmp_path / "table.csv", tmp_path / "fine"
    options = ("--masks", folder / "masks", "--table", table, "--slice-spacing", 2, "--workers", 1)
    answer = command(main, "-i", folder, "-o", fine, *options)
    assert answer.status == 0
    before, after = read_mask(folder / "masks" / "1_t2.mha"), read_mask(fine / "masks" / "1_t2.mha")
    assert after.geometry == read_image(fine / "images" / "1_t2.mha").geometry
    assert after.spacing == pytest.approx((2, 1.5, 1.5))
    np.testing.assert_array_equal(after.array[::2], before.array)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert {row["case"] for row in rows} == {"1_t2", "2_t2"}
    box = next(row for row in rows if row["label"] == "3" and row["slice"] == "4")
    assert (box["measured"], box["position_mm"], box["area_mm2"]) == ("yes", "8.000", f"{24 * 2.25:.1f}")


def test_one_bad_scan_is_named_and_the_others_finish(folder: Path, tmp_path: Path, spine, write, command) -> None:
    spine(folder, "3_t2")
    (folder / "images" / "1_t2.mha").write_bytes(b"junk")
    write(folder / "masks" / "2_t2.mha", np.zeros((6, 40, 16), np.uint8))
    spine(folder, "4_t2")
    (folder / "masks" / "4_t2.mha").unlink()
    fine = tmp_path / "fine"
    answer = command(main, "-i", folder, "-o", fine, "--masks", folder / "masks")
    assert answer.status == 2
    assert [path.name for path in sorted((fine / "images").iterdir())] == ["3_t2.mha"]
    first, second, third = answer.errors
    assert "1_t2.mha" in first
    assert "masks/2_t2.mha: lies on another grid than its scan (size" in second
    assert "4_t2.mha: has no mask in" in third


def test_a_scan_of_one_slice_stays(tmp_path: Path, write, command) -> None:
    write(tmp_path / "one.mha", np.ones((1, 8, 9), np.float32), (1.0, 3.0, 3.0))
    answer = command(main, "-i", tmp_path / "one.mha", "-o", tmp_path / "fine")
    assert (answer.status, answer.errors) == (0, [])
    assert "one: one slice, nothing lies between" in answer.out
    assert read_image(tmp_path / "fine" / "one.mha").array.shape == (1, 8, 9)


def test_fine_slices_stay_and_a_quarter_of_a_millimetre_works(folder: Path, tmp_path: Path, command) -> None:
    answer = command(main, "-i", folder / "images" / "1_t2.mha", "-o", tmp_path / "a", "--slice-spacing", 3.5)
    assert "6 slices measured every 4 mm left-right, fine enough already" in answer.out
    same = read_image(tmp_path / "a" / "1_t2.mha")
    np.testing.assert_array_equal(same.array, read_image(folder / "images" / "1_t2.mha").array)
    for method in ("cubic", "registration"):
        options = ("--slice-spacing", 0.25, "--method", method)
        assert command(main, "-i", folder / "images" / "1_t2.mha", "-o", tmp_path / method, *options).status == 0
        fine = read_image(tmp_path / method / "1_t2.mha")
        assert (fine.array.shape[0], fine.spacing[0]) == (81, 0.25)
        np.testing.assert_array_equal(fine.array[::16], same.array)


def test_a_mask_that_skips_slices_is_filled_in_and_said(folder: Path, tmp_path: Path, write, command) -> None:
    mask = read_mask(folder / "masks" / "1_t2.mha").array
    skipping = mask.copy()
    skipping[2:4] = 0
    write(tmp_path / "mask.mha", skipping)
    options = ("--masks", tmp_path / "mask.mha", "--mask-rule", "box")
    answer = command(main, "-i", folder / "images" / "1_t2.mha", "-o", tmp_path / "fine", *options)
    assert "21 every 1 mm; 2 slices are not annotated between others, filled in" in answer.out
    np.testing.assert_array_equal(read_mask(tmp_path / "fine" / "masks" / "1_t2.mha").array[::4], mask)


def test_figures_of_labels_that_were_filled_in_are_not_called_measured(
    folder: Path, tmp_path: Path, write, command
) -> None:
    mask = read_mask(folder / "masks" / "1_t2.mha").array.copy()
    mask[2] = 0
    write(tmp_path / "mask.mha", mask)
    options = ("--masks", tmp_path / "mask.mha", "--slice-spacing", 2, "--table", tmp_path / "t.csv")
    assert command(main, "-i", folder / "images" / "1_t2.mha", "-o", tmp_path / "fine", *options).status == 0
    assert said_measured(tmp_path / "t.csv") == {"2", "6", "8"}


def test_what_nobody_annotated_stays_so_and_is_not_measured(folder: Path, tmp_path: Path, write, command) -> None:
    """Slice 3 is marked as not annotated, and so is a corner of slice 4."""
    mask = read_mask(folder / "masks" / "1_t2.mha").array.copy()
    mask[3], mask[4, :4, :4] = 255, 255
    write(folder / "masks" / "1_t2.mha", mask)
    labels = {str(level): f"vertebra:{level}" for level in range(1, 6)}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "ignore_label": 255}))
    options = ("--masks", folder / "masks", "--slice-spacing", 2, "--table", tmp_path / "t.csv")
    answer = command(main, "-i", folder, "-o", tmp_path / "fine", *options)
    assert "5 interpolated: 11 every 2 mm; 1 slice is not annotated between others, filled in" in answer.out
    found = read_mask(tmp_path / "fine" / "masks" / "1_t2.mha").array
    unmarked = np.where(found == 255, 0, found)
    for filled_in in (5, 6, 7):
        np.testing.assert_array_equal(unmarked[filled_in], mask[2])
    assert [np.count_nonzero(plane == 255) > 0 for plane in found] == [5 <= k <= 9 for k in range(11)]
    assert (found[9] == 255).sum() == 16
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["label"] for row in rows} == set("12345")
    assert said_measured(tmp_path / "t.csv") == {"2", "4", "8"}


def said_measured(table: Path) -> set[str]:
    """Slices of the first case that the table calls measured."""
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {row["slice"] for row in rows if row["case"] == "1_t2" and row["measured"] == "yes"}


@pytest.mark.parametrize("scans", [".", "images", "images/2_t2.mha"])
def test_the_tables_of_a_data_set_go_with_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command, scans: str
) -> None:
    """A case that is kept for validation is not taken for training because its slices were interpolated."""
    (folder / "overview.csv").write_text("new_file_name,subset\n1_t2,training\n2_t2,validation\n")
    (folder / "patients.csv").write_text("id,patient\n1_t2,A\n2_t2,B\n")
    labels = {str(level): f"vertebra:{level}" for level in range(1, 6)}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    (folder / "notes.txt").write_text("not of the data set")
    monkeypatch.chdir(folder)
    masks = "masks/2_t2.mha" if scans.endswith(".mha") else "masks"
    for _ in range(2):  # the second time they are there
        assert command(main, "-i", scans, "-o", tmp_path / "fine", "--masks", masks).status == 0
    found = load_dataset(tmp_path / "fine")
    last = found.cases[-1]
    assert (last.id, last.subset, last.patient) == ("2_t2", "validation", "B")
    assert found.scheme == load_dataset(folder).scheme
    names = {path.name for path in (tmp_path / "fine").iterdir()}
    assert names == {"images", "masks", "overview.csv", "patients.csv", "dataset.json"}


def test_what_is_no_data_set_has_no_tables(folder: Path, tmp_path: Path, write, command) -> None:
    for name in ("overview.csv", "patients.csv"):
        (folder / name).write_text("id,patient\n1_t2,A\n")
    assert command(main, "-i", folder, "-o", tmp_path / "scans").status == 0
    assert sorted(path.name for path in (tmp_path / "scans").iterdir()) == ["1_t2.mha", "2_t2.mha"]
    (folder / "images").rename(folder / "scans")
    options = ("-o", tmp_path / "fine", "--masks", folder / "masks")
    assert command(main, "-i", folder / "scans", *options).status == 0
    assert sorted(path.name for path in (tmp_path / "fine").iterdir()) == ["images", "masks"]


def test_tables_of_another_data_set_are_not_replaced(folder: Path, tmp_path: Path, command) -> None:
    (folder / "overview.csv").write_text("new_file_name,subset\n1_t2,validation\n")
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine" / "overview.csv").write_text("new_file_name,subset\n9_t2,validation\n")
    answer = command(main, "-i", folder, "-o", tmp_path / "fine", "--masks", folder / "masks")
    assert answer.status == 2
    assert "overview.csv: differs from" in answer.errors[0]
    assert [path.name for path in (tmp_path / "fine").iterdir()] == ["overview.csv"]


@pytest.mark.parametrize(("place", "inside"), [(".", "series"), ("..", "series/deeper")])
def test_the_folder_one_is_in_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command, place: str, inside: str
) -> None:
    write_series(tmp_path / "series", (0.0, 4.0, 8.0))
    (tmp_path / inside).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / inside)
    answer = command(main, "-i", place, "-o", tmp_path / "fine")
    assert "series: 3 slices measured every 4 mm" in answer.out
    assert [path.name for path in (tmp_path / "fine").iterdir()] == ["series.nii.gz"]


def test_one_scan_goes_to_the_file_that_is_named(folder: Path, tmp_path: Path, command) -> None:
    assert command(main, "-i", folder / "images" / "1_t2.mha", "-o", tmp_path / "new" / "fine.nii.gz").status == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["fine.nii.gz"]
    assert read_image(tmp_path / "new" / "fine.nii.gz").array.ndim == 3


def test_a_link_keeps_its_own_name(folder: Path, tmp_path: Path, command) -> None:
    (tmp_path / "link.mha").symlink_to(folder / "images" / "1_t2.mha")
    assert command(main, "-i", tmp_path / "link.mha", "-o", tmp_path / "fine").status == 0
    assert [path.name for path in (tmp_path / "fine").iterdir()] == ["link.mha"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("data", "data: is a folder; give a file for the table"),
        ("fine", "fine: is a folder; give a file for the table"),  # to be made
        ("fine/images", "fine/images: is a folder; give a file for the table"),
        ("data/masks/1_t2.mha", "1_t2.mha: would be written over an input"),
        ("data/overview.csv", "overview.csv: would be written over an input"),
        ("data/masks/1_t2.mha/t.csv", "1_t2.mha/t.csv: would be written over an input"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command, table: str, words: str
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder / "overview.csv").write_text("new_file_name,subset\n1_t2,validation\n")
    answer = command(main, "-i", "data", "-o", "fine", "--masks", "data/masks", "--table", table)
    assert answer.status == 2
    assert words in answer.errors[0]
    assert not list(folder.parent.glob("fine/*"))


def test_dicom_slices_are_put_in_order(tmp_path: Path, command) -> None:
    write_series(tmp_path / "series", (8.0, 0.0, 16.0, 4.0, 12.0))
    assert command(main, "-i", tmp_path / "series", "-o", tmp_path / "fine").status == 0
    fine = read_image(tmp_path / "fine" / "series.nii.gz")
    np.testing.assert_allclose(fine.array[:, 0, 0], 10 * np.arange(17), rtol=1e-6)


def test_dicom_slices_with_uneven_gaps_are_refused(tmp_path: Path, command) -> None:
    write_series(tmp_path / "series", (0.0, 4.0, 8.0, 16.0, 20.0))
    answer = command(main, "-i", tmp_path / "series", "-o", tmp_path / "fine")
    assert answer.status == 2
    assert "series: has missing or uneven slices (4 mm apart, 8 mm at worst)" in answer.errors[0]
    assert not list((tmp_path / "fine").iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "data/images"), "data/images: holds files of the input; choose another output"),
        (("-o", "fine.mha"), "fine.mha: is one file for 2 volumes; give a folder"),
        (("-o", "fine.mha", "--masks", "data/masks"), "fine.mha: has the name of a file; give a folder"),
        (("-o", "fine", "--slice-spacing", "0"), "--slice-spacing: is 0; give millimetres above 0"),
        (("-o", "fine", "--slice-spacing", "nan"), "--slice-spacing: is nan"),
        (("-o", "fine", "--table", "t.csv"), "--table: measures masks, and there are none; add --masks"),
        (("-o", "fine", "--masks", "nowhere"), "nowhere: does not exist"),
        (("-o", "fine", "--slice-spacing", "1e-7"), "choose a larger --slice-spacing"),
    ],
)
def test_wrong_requests_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(folder.parent)
    answer = command(main, "-i", folder, *options)
    assert answer.status == 2
    assert words in answer.errors[0]
    assert not list(folder.parent.glob("fine/*"))
