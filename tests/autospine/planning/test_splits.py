from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.statistics import IntensityStatistics
from autospine.planning.splits import VERSION, Fold, make_splits, read_splits

FLAT = IntensityStatistics(0, 0, 1, 2, 2, 1, 1)


def case(id_, patient=None, subset="training", sequence="t2", labels=(1, 2)):
    return CaseFingerprint(
        id=id_,
        patient=patient or id_.split("_")[0],
        sequence=sequence,
        subset=subset,
        vendor=None,
        shape=(5, 9, 9),
        spacing=(4.0, 1.0, 1.0),
        orientation="LPS",
        slice_axis=0,
        anisotropy=4.0,
        clipped_share=0.0,
        intensity=FLAT,
        foreground=None,
        voxels={0: 9, **dict.fromkeys(labels, 3)},
        slices=dict.fromkeys(labels, 1),
        centroids=dict.fromkeys(labels, (1.0, 2.0, 3.0)),
        boxes=dict.fromkeys(labels, (0, 0, 0, 1, 1, 1)),
        checksum=id_,
        mask_checksum=id_,
    )


@st.composite
def patients(draw):
    """Cases of 2 to 25 patients, some of them held out."""
    cases = []
    for patient in range(draw(st.integers(2, 25))):
        subset = "training" if patient < 2 else draw(st.sampled_from(["training", "training", "validation"]))
        for series in range(draw(st.integers(1, 3))):
            labels = draw(st.frozensets(st.integers(1, 9)))
            sequence = draw(st.sampled_from(["t1", "t2", "t2_SPACE"]))
            cases.append(case(f"{patient}_{series}", subset=subset, sequence=sequence, labels=labels))
    return draw(st.permutations(cases))


@given(patients(), st.integers(2, 8), st.integers(0, 3))
def test_folds_group_patients_cover_all_and_leave_out_the_held_out(cases, folds, seed):
    splits = make_splits(cases, folds, seed)
    by_id = {one.id: one for one in cases}
    training = sorted(one.id for one in cases if one.subset == "training")
    assert sorted(id_ for fold in splits.folds for id_ in fold.validation) == training
    assert sorted(splits.held_out) == sorted(one.id for one in cases if one.subset == "validation")
    assert len(splits.folds) == min(folds, len({by_id[id_].patient for id_ in training}))
    for fold in splits.folds:
        assert fold.train
        assert fold.validation
        assert sorted((*fold.train, *fold.validation)) == training
        assert not {by_id[i].patient for i in fold.train} & {by_id[i].patient for i in fold.validation}


@given(patients(), st.integers(0, 3))
def test_same_seed_same_folds(cases, seed):
    assert make_splits(cases, 5, seed) == make_splits(cases, 5, seed)


def test_another_seed_splits_equal_patients_otherwise():
    cases = [case(f"{number}_t2") for number in range(20)]
    assert make_splits(cases, seed=0).folds != make_splits(cases, seed=1).folds


def test_sequences_rare_labels_and_sizes_are_balanced():
    cases = []
    for number in range(40):
        labels = (1, 2, 9) if number % 8 == 0 else (1, 2)
        sequences = ("t1", "t2", "t2_SPACE") if number % 4 == 1 else ("t1", "t2")
        cases += [case(f"{number}_{name}", sequence=name, labels=labels) for name in sequences]
    by_id = {one.id: one for one in cases}
    for fold in make_splits(cases, 5).folds:
        chosen = [by_id[id_] for id_ in fold.validation]
        assert 17 <= len(chosen) <= 19
        assert len({one.patient for one in chosen if 9 in one.centroids}) == 1
        assert sum(one.sequence == "t2_SPACE" for one in chosen) == 2


def test_two_patients_make_two_folds_and_the_reason_says_so():
    splits = make_splits([case("1_t1"), case("1_t2"), case("2_t2")], folds=5)
    assert {fold.validation for fold in splits.folds} == {("1_t1", "1_t2"), ("2_t2",)}
    assert "2 folds (5 were asked for" in splits.reason


@pytest.mark.parametrize("cases", [[case("1_t1"), case("1_t2")], [case("1_t1", subset="validation")], []])
def test_one_patient_cannot_be_split(cases):
    with pytest.raises(UserError, match=r"second patient.*--splits FILE"):
        make_splits(cases)


def test_one_fold_is_refused():
    with pytest.raises(UserError, match="--fold all"):
        make_splits([case("1_t1"), case("2_t1")], folds=1)


def test_a_patient_in_both_subsets_is_refused():
    with pytest.raises(UserError, match="patient 1"):
        make_splits([case("1_t1"), case("1_t2", subset="validation"), case("2_t1"), case("3_t1")])


CASES = [case("1_t1"), case("1_t2"), case("2_t1"), case("3_t1"), case("9_t1", subset="validation")]


def write(tmp_path, content):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(content))
    return path


def test_own_format_round_trip(tmp_path):
    splits = make_splits(CASES, 3)
    splits.save(tmp_path / "splits.json")
    assert read_splits(tmp_path / "splits.json", CASES) == splits


def test_nnunet_format(tmp_path):
    path = write(tmp_path, [{"train": ["1_t1"], "val": ["2_t1"]}, {"train": ["2_t1"], "val": ["3_t1"]}])
    splits = read_splits(path, CASES)
    assert splits.folds == (Fold(("1_t1",), ("2_t1",)), Fold(("2_t1",), ("3_t1",)))
    assert splits.held_out == ("9_t1",)
    assert "splits.json" in splits.reason
    assert splits.user_defined


def test_a_single_split_with_file_names(tmp_path):
    path = write(tmp_path, {"train": ["1_t1.mha", "2_t1.nii.gz"], "validation": ["9_t1"]})
    splits = read_splits(path, CASES)
    assert splits.folds == (Fold(("1_t1", "2_t1"), ("9_t1",)),)
    assert splits.held_out == ()


def test_a_test_part_of_ones_own_is_kept(tmp_path):
    path = write(tmp_path, {"train": ["1_t1", "1_t2"], "validation": ["2_t1"], "test": ["3_t1.mha"]})
    splits = read_splits(path, CASES)
    assert splits.folds == (Fold(("1_t1", "1_t2"), ("2_t1",), ("3_t1",)),)
    assert splits.folds[0].eval_subset.cases == ("3_t1",)
    assert splits.held_out == ("9_t1",)
    assert splits.user_defined
    splits.save(tmp_path / "again.json")
    assert read_splits(tmp_path / "again.json", CASES) == splits


def test_a_test_subset_written_by_hand_into_planned_folds_is_the_users(tmp_path):
    content = {"version": VERSION, "held_out": [], "reason": "", "folds": [{"train": ["1_t1"], "validation": ["2_t1"]}]}
    planned = read_splits(write(tmp_path, content), CASES)
    assert planned.folds == (Fold(("1_t1",), ("2_t1",)),)
    assert not planned.user_defined
    content["folds"][0]["test"] = ["3_t1"]
    assert read_splits(write(tmp_path, content), CASES).user_defined


def test_a_leaking_patient_is_warned_about(tmp_path, caplog):
    path = write(tmp_path, {"train": ["1_t1"], "validation": ["1_t2"]})
    with caplog.at_level(logging.WARNING):
        read_splits(path, CASES)
    assert "same patients (1)" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": ["1_t1", "8_t1"], "validation": ["2_t1"]}, "8_t1"),
        ({"train": ["1_t1"], "validation": ["1_t1"]}, "1_t1 twice"),
        ({"train": ["1_t1", "1_t1.mha"], "validation": ["2_t1"]}, "1_t1 twice"),
        ({"train": [], "validation": ["2_t1"]}, "train of fold 0 empty"),
        ({"train": ["9_t1"], "validation": ["2_t1"]}, "9_t1 in fold 0, which overview.csv"),
        ({"train": ["1_t1"]}, "validation"),
        ({"train": "1_t1", "validation": ["2_t1"]}, "train"),
        ({"train": [1], "validation": ["2_t1"]}, "train"),
        ({"train": ["1_t1"], "validation": ["2_t1"], "test": "3_t1"}, '"test"'),
        ({"train": ["1_t1"], "validation": ["2_t1"], "test": ["1_t1"]}, "1_t1 twice"),
        ([], "no fold"),
        (["1_t1"], "train"),
        (7, "train"),
        ({"version": 99, "folds": []}, "newer AutoSpine"),
        ({"version": 1, "folds": []}, "older AutoSpine"),
        ({"version": VERSION, "folds": [], "held_out": [], "reason": "", "extra": 1}, "extra"),
    ],
)
def test_splits_at_fault(tmp_path, content, words):
    with pytest.raises(UserError) as caught:
        read_splits(write(tmp_path, content), CASES)
    assert "splits.json" in str(caught.value)
    assert words in str(caught.value)
