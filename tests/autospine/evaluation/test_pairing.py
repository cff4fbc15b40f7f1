from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.evaluation.pairing import find_predictions, find_references

MASK = np.ones((4, 5, 6), np.uint8)
Write = Callable[..., Path]


def fill(write: Write, folder: Path, *names: str) -> Path:
    for name in names:
        write(folder / name, MASK)
    return folder


def test_a_data_set_gives_images_patients_and_the_table(tmp_path: Path, write: Write) -> None:
    fill(write, tmp_path / "images", "1_t1.mha", "1_t2.mha", "9_t2.mha")
    fill(write, tmp_path / "masks", "1_t1.mha", "1_t2.mha")
    (tmp_path / "overview.csv").write_text("new_file_name,Manufacturer\n1_t1,A\n")
    (tmp_path / "patients.csv").write_text("id,patient\n1_t2,somebody\n")
    for place in (tmp_path, tmp_path / "masks"):
        found = find_references(place)
        assert list(found.masks) == list(found.images) == ["1_t1", "1_t2"]
        assert found.patients == {"1_t1": "1", "1_t2": "somebody"}
        assert found.table["1_t1"]["Manufacturer"] == "A"


def test_one_mask_of_a_data_set_finds_its_scan(tmp_path: Path, write: Write) -> None:
    fill(write, tmp_path / "images", "1_t1.mha", "1_t2.mha")
    fill(write, tmp_path / "masks", "1_t1.mha", "1_t2.mha")
    found = find_references(tmp_path / "masks" / "1_t2.mha")
    assert found.images == {"1_t2": tmp_path / "images" / "1_t2.mha"}


def test_images_may_lie_elsewhere_or_have_channels(tmp_path: Path, write: Write) -> None:
    masks = fill(write, tmp_path / "references", "1_t1.mha")
    scans = fill(write, tmp_path / "scans", "1_t1_0000.nii.gz", "1_t1_0001.nii.gz")
    assert find_references(masks).images == {}
    assert find_references(masks, scans).images == {"1_t1": scans / "1_t1_0000.nii.gz"}


def test_masks_named_after_scans_but_for_a_word(tmp_path: Path, write: Write) -> None:
    fill(write, tmp_path / "train" / "MR", "Case1.nii.gz")
    fill(write, tmp_path / "train" / "Mask", "mask_case1.nii.gz")
    assert list(find_references(tmp_path).masks) == ["Case1"]


@pytest.mark.parametrize(
    "prediction",
    [
        "5_t2_seg.nii.gz",
        "5_t2_0000.mha",
        "mask-5_T2.mha",
        "sub-5_mod-t2_seg-vert_msk.nii.gz",
        "5_t2_seg-spine_msk.nii.gz",
        "sub-5_t2.nii.gz",
    ],
)
def test_names_that_mean_a_case_pair_with_it(tmp_path: Path, write: Write, prediction: str) -> None:
    references = find_references(fill(write, tmp_path / "masks", "5_t2.mha", "6_t2.mha"))
    folder = fill(write, tmp_path / "pred", prediction, "7_t2.mha")
    assert find_predictions(folder, references) == {"5_t2": folder / prediction, "7_t2": folder / "7_t2.mha"}


def test_an_own_name_comes_before_a_meant_one(tmp_path: Path, write: Write) -> None:
    references = find_references(fill(write, tmp_path / "masks", "5_t2.mha"))
    folder = fill(write, tmp_path / "pred", "5_t2.mha", "5_t2_seg.mha")
    assert list(find_predictions(folder, references)) == ["5_t2", "5_t2_seg"]


def test_two_predictions_that_mean_one_reference(tmp_path: Path, write: Write) -> None:
    references = find_references(fill(write, tmp_path / "masks", "5_t2.mha"))
    with pytest.raises(UserError, match=r"mask_5_t2.mha: and 5_t2_0000.mha both mean 5_t2; keep one"):
        find_predictions(fill(write, tmp_path / "pred", "5_t2_0000.mha", "mask_5_t2.mha"), references)


def test_names_that_mean_no_case(tmp_path: Path, write: Write) -> None:
    references = find_references(fill(write, tmp_path / "masks", "5_t2.mha"))
    with pytest.raises(UserError, match=r"shares no case id with .*masks \(6_t2\)"):
        find_predictions(fill(write, tmp_path / "pred", "6_t2.mha"), references)


def test_folders_as_other_tools_write_them(tmp_path: Path, write: Write) -> None:
    references = find_references(fill(write, tmp_path / "masks", "5_T2w.mha"))
    totalspineseg = fill(write, tmp_path / "tss" / "step2_output", "5_T2w_0000.nii.gz")
    fill(write, tmp_path / "tss" / "step1_raw", "5_T2w.nii.gz")
    assert find_predictions(tmp_path / "tss", references) == {"5_T2w": totalspineseg / "5_T2w_0000.nii.gz"}
    names = ("sub-5_mod-T2w_seg-spine_msk.nii.gz", "sub-5_mod-T2w_seg-vert_msk.nii.gz")
    spineps = fill(write, tmp_path / "derivatives_seg" / "sub-5", *names)
    assert find_predictions(tmp_path / "derivatives_seg", references) == {"5_T2w": spineps / names[1]}
    assert find_predictions(spineps, references) == {"5_T2w": spineps / names[1]}
    segmented = fill(write, tmp_path / "ts" / "5_T2w", "segmentations.nii.gz")
    assert find_predictions(tmp_path / "ts", references) == {"5_T2w": segmented / "segmentations.nii.gz"}


def test_names_that_differ_by_suffix_only(tmp_path: Path, write: Write) -> None:
    with pytest.raises(UserError, match=r"x\.mha and x\.nii\.gz, which have the same id"):
        find_references(fill(write, tmp_path, "x.mha", "x.nii.gz"))


def test_a_file_against_a_folder(tmp_path: Path, write: Write) -> None:
    folder = fill(write, tmp_path / "masks", "1_t2.mha", "2_t2.mha")
    file = fill(write, tmp_path / "pred", "1_t2.mha") / "1_t2.mha"
    with pytest.raises(UserError, match=r"1_t2.mha: is one mask, .*masks is a folder; give two"):
        find_predictions(file, find_references(folder))
    with pytest.raises(UserError, match=r"pred: is a folder, .*1_t2.mha is one mask"):
        find_predictions(tmp_path / "pred", find_references(folder / "1_t2.mha"))


def test_two_files_pair_whatever_their_names(tmp_path: Path, write: Write) -> None:
    one = write(tmp_path / "anything.nrrd", MASK)
    other = write(tmp_path / "masks" / "1_t2.mha", MASK)
    assert find_predictions(one, find_references(other)) == {"1_t2": one}


def test_empty_absent_and_other_folders(tmp_path: Path, write: Write) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("no mask")
    for name, words in (("empty", "is empty"), ("none", "does not exist"), ("notes", "holds no volumes")):
        with pytest.raises(UserError, match=words):
            find_references(tmp_path / name)
