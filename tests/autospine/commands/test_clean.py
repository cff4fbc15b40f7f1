from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.commands.clean import main
from autospine.core.files import write_json
from autospine.labels.conversion import conversion
from autospine.labels.schemes import SCHEMES
from autospine.volumes import read_header, read_mask
from tests.autospine.commands.conftest import Prediction
from tests.tiny import spine_mask, write_array

SPIDER, SEMANTIC4 = SCHEMES["spider"], SCHEMES["semantic4"]
Run = Callable[..., Prediction]


def speckled() -> np.ndarray:
    """A clean mask with two wrong voxels."""
    mask = spine_mask()
    mask[2, 30, 12], mask[3, 20, 15] = 100, 77
    return mask


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "masks"
    write_array(folder / "1_t2.mha", speckled())
    write_array(folder / "2_t2.nii.gz", spine_mask())
    return folder


@pytest.fixture
def run(command: Run, masks: Path, tmp_path: Path) -> Run:
    return lambda *options: command(main, "-i", masks, "-o", tmp_path / "out", "--workers", 1, *options)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_is_cleaned_and_reported(run: Run, masks: Path, tmp_path: Path) -> None:
    answer = run("--report", tmp_path / "changes.csv")
    assert answer.status == 0
    assert "1_t2: mapped" in answer.err
    assert answer.out.splitlines()[-1] == f"2 masks written to {tmp_path / 'out'}"
    assert "unknown 1, isolated 1" in answer.out
    expected = conversion(SPIDER, SEMANTIC4).apply(spine_mask())
    for name in ("1_t2.mha", "2_t2.nii.gz"):
        np.testing.assert_array_equal(read_mask(tmp_path / "out" / name).array, expected)
        assert read_header(tmp_path / "out" / name).same_grid(read_header(masks / name))
    rows = rows_of(tmp_path / "changes.csv")
    assert [(row["id"], row["slice"]) for row in rows[::6]] == [("1_t2", "0"), ("2_t2", "0")]
    assert [(row["slice"], row["unknown"], row["isolated"]) for row in rows[2:4]] == [
        ("2", "0", "1"),
        ("3", "1", "0"),
    ]
    assert all(row["unknown"] == row["isolated"] == "0" for row in rows[6:])


def test_own_labels_can_be_kept(run: Run, tmp_path: Path) -> None:
    assert run("--keep-labels").status == 0
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "1_t2.mha").array, spine_mask())


def test_the_published_rules_move_borders(run: Run, tmp_path: Path) -> None:
    answer = run("--rules", "published", "--report", tmp_path / "changes.csv")
    assert answer.status == 0
    assert sum(int(row["outline"]) for row in rows_of(tmp_path / "changes.csv")) > 0
    assert "first_matching 0" in answer.out


def test_one_file(command: Run, masks: Path, tmp_path: Path) -> None:
    answer = command(main, "-i", masks / "1_t2.mha", "-o", tmp_path / "out", "--labels", "spider")
    assert answer.status == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1_t2.mha"]


def test_a_turned_mask_keeps_its_grid(command: Run, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.ascontiguousarray(speckled().transpose(1, 2, 0)))
    image.SetSpacing((4, 3, 3))
    image.SetOrigin((5, -7, 11))
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))  # axial, head first
    (tmp_path / "masks").mkdir()
    sitk.WriteImage(image, str(tmp_path / "masks" / "a.nrrd"))
    assert command(main, "-i", tmp_path / "masks", "-o", tmp_path / "out").status == 0
    done = sitk.ReadImage(str(tmp_path / "out" / "a.nrrd"))
    assert (done.GetOrigin(), done.GetSpacing(), done.GetDirection()) == (
        image.GetOrigin(),
        image.GetSpacing(),
        image.GetDirection(),
    )
    expected = conversion(SPIDER, SEMANTIC4).apply(spine_mask()).transpose(1, 2, 0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(done), expected)


@pytest.mark.parametrize("place", ["..", "."])
def test_the_scheme_of_the_data_set_is_found(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    mask = np.where(spine_mask() == 100, 9, 0).astype(np.uint8)
    write_array(tmp_path / "data" / "masks" / "1_t2.mha", mask)
    write_json(tmp_path / "data" / "dataset.json", {"labels": {"9": "disc"}})
    monkeypatch.chdir(tmp_path / "data" / "masks")
    assert command(main, "-i", place, "-o", tmp_path / "out").status == 0
    assert set(np.unique(read_mask(tmp_path / "out" / "1_t2.mha").array)) == {0, 3}


def test_a_bad_mask_is_named_and_the_others_finish(run: Run, masks: Path, tmp_path: Path) -> None:
    (masks / "0_t2.mha").write_text("no volume")
    write_array(masks / "3_t2.mha", np.where(spine_mask() > 0, 77, 0).astype(np.uint8))
    answer = run("--report", tmp_path / "changes.csv")
    assert answer.status == 2
    assert "Traceback" not in answer.err
    failed = [line for line in answer.out.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    assert "0_t2.mha" in failed[0]
    assert "3_t2.mha: holds" in failed[1]
    assert "that the scheme spider lacks; name the mask's own scheme with --labels" in failed[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1_t2.mha", "2_t2.nii.gz"]
    assert {row["id"] for row in rows_of(tmp_path / "changes.csv")} == {"1_t2", "2_t2"}


def test_masks_are_never_replaced(command: Run, masks: Path) -> None:
    before = {path: path.read_bytes() for path in masks.iterdir()}
    for given in (masks, masks / "1_t2.mha"):
        answer = command(main, "-i", given, "-o", masks)
        assert answer.status == 2
        assert "masks: holds files of the input; choose another output" in answer.err
    assert {path: path.read_bytes() for path in masks.iterdir()} == before


def test_a_report_never_replaces_a_mask(command: Run, masks: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in masks.iterdir()}
    (tmp_path / "link.csv").symlink_to(masks / "1_t2.mha")
    (tmp_path / "hard.csv").hardlink_to(masks / "1_t2.mha")
    for name, why in (
        (masks / "1_t2.mha", "would be written over an input"),
        (tmp_path / "link.csv", "would be written over an input"),
        (tmp_path / "hard.csv", "would be written over an input"),
        (tmp_path / "out" / "1_t2.mha", "would be written twice"),
        (tmp_path / "other.nii.gz", "is the name of a volume; give a .csv file"),
    ):
        answer = command(main, "-i", masks, "-o", tmp_path / "out", "--report", name)
        assert answer.status == 2
        assert answer.errors[0].endswith(f"{name}: {why}" + ("" if "give" in why else "; choose another output"))
        assert not (tmp_path / "out").exists()
    assert {path: path.read_bytes() for path in masks.iterdir()} == before


def test_one_mask_goes_to_the_file_that_is_named(command: Run, masks: Path, tmp_path: Path) -> None:
    assert command(main, "-i", masks / "1_t2.mha", "-o", tmp_path / "clean.nii.gz").status == 0
    assert read_mask(tmp_path / "clean.nii.gz").array.max() > 0
    answer = command(main, "-i", masks, "-o", tmp_path / "all.nii.gz")
    assert answer.errors[0].endswith("all.nii.gz: is one file for 2 volumes; give a folder")
    assert not (tmp_path / "all.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("-i", "nowhere", "-o", "out"), "nowhere: does not exist"),
        (("-i", "masks", "-o", "out", "--labels", "nonsense"), "neither a label scheme nor a file"),
        (("-i", "masks", "-o", "out", "--workers", "-1"), "--workers"),
    ],
)
def test_wrong_options_are_one_line(
    command: Run, masks: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], word: str
) -> None:
    monkeypatch.chdir(masks.parent)
    answer = command(main, *options)
    assert answer.status == 2
    assert len(answer.errors) == 1
    assert word in answer.errors[0]
