from __future__ import annotations

import json
import logging

import pytest

from autospine.core.errors import UserError
from autospine.dataset.cases import listed, load_dataset, patient_and_sequence
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def fails(root, *words):
    with pytest.raises(UserError) as caught:
        load_dataset(root)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


def test_spider_layout_in_natural_order_with_patients_and_sequences(tmp_path):
    for id_ in ("10_t1", "2_t2_SPACE", "2_t2"):
        touch(tmp_path, f"images/{id_}.mha", f"masks/{id_}.mha")
    cases = load_dataset(tmp_path).cases
    assert [case.id for case in cases] == ["2_t2", "2_t2_SPACE", "10_t1"]
    assert [case.patient for case in cases] == ["2", "2", "10"]
    assert [case.sequence for case in cases] == ["t2", "t2_SPACE", "t1"]
    assert cases[0].mask == tmp_path / "masks" / "2_t2.mha"
    assert {case.subset for case in cases} == {"training"}


@pytest.mark.parametrize(
    ("id_", "expected"),
    [
        ("12_t2_SPACE", ("12", "t2_SPACE")),
        ("a_b_T1", ("a_b", "t1")),
        ("sub-03_T2w", ("sub-03", "t2")),
        ("4_t2_run2", ("4", "t2")),
        ("case_007", ("case_007", "unknown")),
        ("4_t20", ("4_t20", "unknown")),
        ("_t1", ("_t1", "unknown")),
    ],
)
def test_patient_is_the_part_before_the_sequence(id_, expected):
    assert patient_and_sequence(id_) == expected


def test_image_and_mask_may_differ_in_format(tmp_path):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.nii.gz")
    assert load_dataset(tmp_path).cases[0].mask == tmp_path / "masks" / "1_t1.nii.gz"


def test_nnunet_layout_with_two_channels(tmp_path):
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "disc:1": 4, "ignore": 9}}
    content |= {"numTraining": 1, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    dataset = load_dataset(tmp_path)
    assert dataset.channels == ("T1", "T2")
    assert [path.name for path in dataset.cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert dataset.scheme.anatomies == {4: Anatomy(Kind.DISC, 1)}
    assert dataset.scheme.ignore_label == 9


def test_a_missing_channel_names_the_case(tmp_path):
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/b_0001.nii.gz", "labelsTr/a.nii.gz")
    fails(tmp_path, "imagesTr/b", "channels 1")


def test_nnunet_image_without_channel_number(tmp_path):
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
    fails(tmp_path, "a.nii.gz", "a_0000")


def test_mrspineseg_names_differ_in_case_and_prefix(tmp_path):
    touch(tmp_path, "train/MR/Case1.nii.gz", "train/MR/Case10.nii.gz")
    touch(tmp_path, "train/Mask/mask_case1.nii.gz", "train/Mask/mask_case10.nii.gz")
    cases = load_dataset(tmp_path).cases
    assert [(case.id, case.mask.name) for case in cases] == [
        ("Case1", "mask_case1.nii.gz"),
        ("Case10", "mask_case10.nii.gz"),
    ]


@pytest.mark.parametrize(("prefix", "suffix"), [("mask_", ""), ("Mask", ""), ("", "_mask"), ("", "")])
def test_mrspineseg_masks_however_they_are_named(tmp_path, prefix, suffix):
    touch(tmp_path, "train/MR/Case7.nii.gz", f"train/Mask/{prefix}CASE7{suffix}.nii.gz")
    (case,) = load_dataset(tmp_path).cases
    assert case.mask.name == f"{prefix}CASE7{suffix}.nii.gz"


def test_mrspineseg_has_its_own_labels_a_case_per_patient_and_no_test_scans(tmp_path):
    """1 to 19 would pass for SPIDER's vertebrae."""
    touch(tmp_path, "train/MR/Case1.nii.gz", "train/MR/Case2.nii.gz", "test1/MR/Case201.nii.gz")
    touch(tmp_path, "train/Mask/mask_case1.nii.gz", "train/Mask/mask_case2.nii.gz")
    dataset = load_dataset(tmp_path)
    assert dataset.scheme == SCHEMES["mrspineseg"]
    assert [(case.id, case.patient) for case in dataset.cases] == [("Case1", "Case1"), ("Case2", "Case2")]
    (tmp_path / "dataset.json").write_text('{"labels": {"1": "vertebra:1"}}')
    assert load_dataset(tmp_path).scheme.anatomies[1].key == "vertebra:1"


def test_overview_gives_subset_and_vendor_and_need_not_be_complete(tmp_path):
    touch(
        tmp_path,
        *(f"{folder}/{id_}.mha" for folder in ("images", "masks") for id_ in ("1_t1", "1_t2", "2_t1")),
    )
    rows = (
        "new_file_name, sex ,subset,Manufacturer",
        "1_t1,F ,validation ,  Philips ",
        "1_t2.mha,M,Training,",
        "9_t1",
    )
    (tmp_path / "overview.csv").write_text("\ufeff" + "\n".join(rows), encoding="utf-8")
    dataset = load_dataset(tmp_path)
    assert [case.subset for case in dataset.cases] == ["validation", "training", "training"]
    assert [case.vendor for case in dataset.cases] == ["Philips", None, None]
    assert dataset.table["1_t1"]["sex"] == "F"


def test_images_that_overview_does_not_list_are_named(tmp_path, caplog):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha", "images/2_t1.mha", "masks/2_t1.mha")
    (tmp_path / "overview.csv").write_text("new_file_name,subset\n1_t1,training\n")
    load_dataset(tmp_path)
    assert "2_t1" in caplog.text
    assert "1_t1" not in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("new_file_name,subset\n1_t1,trianing\n", ("trianing", "1_t1")),
        ("new_file_name\n1_t1\n1_t1\n", ("lists 1_t1 twice",)),
        ("file,subset\n1_t1,training\n", ("no column of case ids", "new_file_name")),
        ("new_file_name\n" + "1" * 200_000 + "\n", ("is no table", "field limit", "save it as CSV")),
    ],
)
def test_overview_at_fault(tmp_path, text, words):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha")
    (tmp_path / "overview.csv").write_text(text)
    fails(tmp_path, "overview.csv", *words)


def test_patients_csv_overrules_the_id(tmp_path):
    touch(tmp_path, *(f"{folder}/{id_}.mha" for folder in ("images", "masks") for id_ in ("1_t1", "7_t1")))
    (tmp_path / "patients.csv").write_text("id,patient\n7_t1,1\n")
    assert [case.patient for case in load_dataset(tmp_path).cases] == ["1", "1"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("case,person\n1_t1,1\n", "id,patient"),
        ("id,patient\n1_t1,\n", "no patient"),
        ("id,patient\na,1\na,2\n", "twice"),
    ],
)
def test_patients_csv_at_fault(tmp_path, text, word):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha")
    (tmp_path / "patients.csv").write_text(text)
    fails(tmp_path, "patients.csv", word)


def test_own_dataset_json(tmp_path):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha")
    labels = {"0": "background", "1": "vertebra:1", "5": "canal"}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "ignore_label": 255}))
    dataset = load_dataset(tmp_path)
    assert dataset.scheme.anatomies == {1: Anatomy(Kind.VERTEBRA, 1), 5: Anatomy(Kind.CANAL)}
    assert dataset.scheme.ignore_label == 255
    assert dataset.channels == ("MRI",)


def test_nnunet_names_that_are_no_anatomy_leave_the_integers_to_speak(tmp_path):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "one": 1, "two": 2, "ignore": 3}}))
    scheme = load_dataset(tmp_path).scheme
    assert scheme.anatomies == {1: Anatomy(Kind.VERTEBRA, 1), 2: Anatomy(Kind.VERTEBRA, 2)}
    assert scheme.ignore_label == 3


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"chanels": ["T1"]}, "chanels"),
        ({"channels": {"0": "T1", "2": "T2"}}, "channels"),
        ({"channels": []}, "channels"),
        ({"channels": ["T1", "T1"]}, "channels"),
        ({"labels": {"1": "vertebrum"}}, "vertebrum"),
        ({"labels": {"whole": [1, 2]}}, "whole"),
        ({"labels": {"0": "canal"}}, "background"),
        ({"ignore_label": 255}, "labels"),
        ({"labels": {"9" * 20: "canal"}}, "which no mask holds"),
        ({"labels": {"1": "canal"}, "ignore_label": 10**20}, "which no mask holds"),
        ([], "object"),
    ],
)
def test_dataset_json_at_fault(tmp_path, content, word):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    fails(tmp_path, "dataset.json", word)


def test_several_channels_only_if_declared(tmp_path):
    touch(tmp_path, "images/1_t1_0000.mha", "images/1_t1_0001.mha", "masks/1_t1.mha")
    (tmp_path / "dataset.json").write_text('{"channels": ["in phase", "water"]}')
    (case,) = load_dataset(tmp_path).cases
    assert (case.id, len(case.images)) == ("1_t1", 2)


def test_missing_masks_are_warned_about_and_not_annotated(tmp_path, caplog):
    touch(tmp_path, "images/1_t1.mha", "images/2_t1.mha", "masks/1_t1.mha")
    with caplog.at_level(logging.WARNING):
        dataset = load_dataset(tmp_path)
    assert "1 of 2" in caplog.text
    assert "2_t1" in caplog.text
    assert [case.id for case in dataset.annotated] == ["1_t1"]
    assert dataset.cases[1].mask is None


def test_no_mask_at_all(tmp_path):
    touch(tmp_path, "images/1_t1.mha")
    fails(tmp_path, "masks", "no mask for any of the 1 images")


def test_masks_without_image_are_named(tmp_path):
    touch(tmp_path, "images/1_t1.mha", "masks/1_t1.mha", "masks/2_t1.mha", "masks/3_t1.mha")
    fails(tmp_path, "2_t1.mha", "3_t1.mha", "no image")


def test_no_images(tmp_path):
    (tmp_path / "images").mkdir()
    fails(tmp_path, "images")


def test_unknown_layout_and_missing_folder(tmp_path):
    fails(tmp_path, "images/ and masks/")
    fails(tmp_path / "absent", "not a folder")


def test_same_id_twice(tmp_path):
    touch(tmp_path, "images/1_t1.mha", "images/1_t1.nii.gz", "masks/1_t1.mha")
    fails(tmp_path, "1_t1.mha", "1_t1.nii.gz")


def test_listed_shortens():
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 1) == "a and 2 more"


def test_spiders_own_overview(tmp_path, real_data):
    rows = (real_data / "spider" / "overview.csv").read_text()
    (tmp_path / "overview.csv").write_text(rows)
    for line in rows.splitlines()[1:]:
        id_ = line.split(",")[0]
        touch(tmp_path, f"images/{id_}.mha", f"masks/{id_}.mha")
    dataset = load_dataset(tmp_path)
    subsets = [case.subset for case in dataset.cases]
    assert (subsets.count("training"), subsets.count("validation")) == (360, 87)
    assert len({case.patient for case in dataset.cases}) == 218
    assert len({case.patient for case in dataset.cases if case.subset == "validation"}) == 39
    sequences = [case.sequence for case in dataset.cases]
    assert [sequences.count(name) for name in ("t1", "t2", "t2_SPACE")] == [196, 210, 41]
    assert {row["sex"] for row in dataset.table.values()} <= {"F", "M", ""}
