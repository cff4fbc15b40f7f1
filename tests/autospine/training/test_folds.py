"""Which cases and slices a training sees."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.planning.split_strategies import LEAK, Split, SplitSettings
from autospine.planning.splits import VERSION, Fold, FoldSlices, Splits, read_splits
from autospine.preprocessing.transforms.base import TransformSettings
from autospine.training import data, loading
from autospine.training.folds import (
    allowed_slices,
    choose_splits,
    kept_split,
    read_case_pool,
    sequence_named,
)
from autospine.training.job import TrainingJob
from autospine.training.loop import fit
from autospine.training.run import TrainRequest, train
from autospine.training.trainer import Trainer
from tests.tiny import IDS, SHAPE, make_job, plan_of
from tests.toys import QUICK, ToyTrainer

pytestmark = pytest.mark.usefixtures("toys")
SLICES = SplitSettings("slices", 0.6, 0.2, 0.2)


@pytest.fixture
def work(tiny_work: WorkFolder, tmp_path: Path) -> WorkFolder:
    """A work folder to write into, its arrays shared."""
    root = tmp_path / "work"
    shutil.copytree(tiny_work.root, root)
    return WorkFolder(root)


def trainer_of(work: WorkFolder, dimension: int = 2, **changes: object) -> Trainer:
    return ToyTrainer(plan_of(work, dimension), replace(QUICK, **changes))


def hold_out(work: WorkFolder, case_id: str) -> None:
    """Makes a case one of the validation subset, as overview.csv would."""
    data = json.loads(work.fingerprint.read_text())
    for case in data["cases"]:
        case["subset"] = "validation" if case["id"] == case_id else "training"
    work.fingerprint.write_text(json.dumps(data))
    splits = json.loads(work.splits.read_text())
    for fold in splits["folds"]:
        for side in ("train", "validation"):
            fold[side] = [id_ for id_ in fold[side] if id_ != case_id]
    splits["held_out"] = [case_id]
    work.splits.write_text(json.dumps(splits))


# The work folder's folds.


def test_folds_by_number_all_and_cv(work: WorkFolder) -> None:
    trainer, pool = trainer_of(work), read_case_pool(work)
    folds = choose_splits(trainer, work, pool, "cv")
    assert list(folds) == ["0", "1", "2"]
    assert sorted(i for split in folds.values() for i in split.fold.validation) == sorted(IDS)
    assert choose_splits(trainer, work, pool, "1") == {"1": folds["1"]}
    everyone = choose_splits(trainer, work, pool, "all")["all"].fold
    assert sorted(everyone.train) == sorted(IDS)
    assert everyone.validation == everyone.test == ()


@pytest.mark.parametrize("fold", ["3", "-1", "", "x"])
def test_a_fold_that_does_not_exist(work: WorkFolder, fold: str) -> None:
    with pytest.raises(UserError, match="choose from 0, 1, 2, cv, all"):
        choose_splits(trainer_of(work), work, read_case_pool(work), fold)


@pytest.mark.parametrize("settings", [None, SplitSettings(), SLICES])
@pytest.mark.parametrize("asked", ["cv", "all"])
def test_the_validation_subset_is_in_no_part(work: WorkFolder, settings: SplitSettings | None, asked: str) -> None:
    hold_out(work, "4_t2")
    pool = read_case_pool(work)
    assert pool.held_out == ("4_t2",)
    for split in choose_splits(trainer_of(work, split=settings), work, pool, asked).values():
        assert "4_t2" not in split.fold.cases
        assert len(split.fold.cases) == 5


# The user's own.


def give(work: WorkFolder) -> tuple[Fold, ...]:
    """Folds as autospine_plan --splits writes them."""
    folds = (Fold(IDS[:3], IDS[3:4], IDS[4:]), Fold(IDS[3:], IDS[:1], IDS[1:3]))
    own = replace(find_splits(work), folds=folds, reason="given by mine.json", user_defined=True)
    own.save(work.splits)
    return folds


def find_splits(work: WorkFolder) -> Splits:
    return read_splits(work.splits, Fingerprint.load(work.fingerprint).cases)


@pytest.mark.parametrize("settings", [None, SplitSettings("patient", 0.7, 0.05, 0.25, folds=4)])
def test_the_users_folds_come_before_a_recipes_split(work: WorkFolder, settings: SplitSettings | None) -> None:
    trainer, folds = trainer_of(work, split=settings), give(work)
    chosen = choose_splits(trainer, work, read_case_pool(work), "cv")
    assert chosen == {str(k): Split("folds", fold, "given by mine.json") for k, fold in enumerate(folds)}
    only = choose_splits(trainer, work, read_case_pool(work, "t2"), "0")["0"].fold
    assert only == Fold(IDS[1:3:2], IDS[3:4], IDS[5:])


def test_slices_are_split_without_the_users_folds_which_is_said(
    work: WorkFolder, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = trainer_of(work, split=SLICES)
    choose_splits(trainer, work, read_case_pool(work), "0")
    assert "not used" not in caplog.text
    give(work)
    split = choose_splits(trainer, work, read_case_pool(work), "0")["0"]
    assert split.strategy == "slices"
    assert set(split.fold.train) == set(IDS)
    assert "the work folder's folds (given by mine.json) are not used" in caplog.text


# One sequence.


@pytest.mark.parametrize("settings", [None, SplitSettings("patient", 1, 1, 1), SLICES])
def test_a_sequence_leaves_the_others_out(work: WorkFolder, settings: SplitSettings | None) -> None:
    pool = read_case_pool(work, "t1")
    trainer = trainer_of(work, split=settings)
    for split in choose_splits(trainer, work, pool, "cv").values():
        assert {id_.split("_")[1] for id_ in split.fold.cases} == {"t1"}


def test_a_sequence_that_is_not_there_or_unknown(work: WorkFolder) -> None:
    assert sequence_named("T2_space") == "t2_SPACE"
    assert sequence_named(None) is None
    with pytest.raises(UserError, match=r"--sequence flair: is unknown.*t1, t2, t2_SPACE"):
        sequence_named("flair")
    with pytest.raises(UserError, match=r"t2_SPACE: has no case.*has t1, t2"):
        read_case_pool(work, "t2_SPACE")


def test_a_fold_without_the_sequence_is_said(work: WorkFolder) -> None:
    splits = json.loads(work.splits.read_text())
    splits["folds"] = [{"train": list(IDS[1:]), "validation": list(IDS[:1])}]  # 1_t1 validates
    work.splits.write_text(json.dumps(splits))
    with pytest.raises(UserError, match="fold 0: has no case to score"):
        choose_splits(trainer_of(work), work, read_case_pool(work, "t2"), "0")


# Slices.


def test_every_slice_of_the_plan_is_split(work: WorkFolder) -> None:
    pool = read_case_pool(work)
    slices = allowed_slices(trainer_of(work, split=SLICES), work.preprocessed("2d_sagittal"), pool.training)
    assert slices == dict.fromkeys(sorted(IDS), tuple(range(SHAPE[0])))


def test_slices_that_a_filter_drops_are_in_no_part(work: WorkFolder) -> None:
    trainer = trainer_of(work, split=SLICES, transforms=(TransformSettings("labelled_slices"),))
    for split in choose_splits(trainer, work, read_case_pool(work), "cv").values():
        parts = split.fold.slices
        assert parts is not None
        every = [k for subset in (parts.train, parts.validation, parts.test) for v in subset.values() for k in v]
        assert len(every) == 4 * len(IDS)
        assert set(every) == {1, 2, 3, 4}


def test_cases_of_which_no_slice_is_left_are_named(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slices = {**dict.fromkeys(IDS[1:], (1, 2)), IDS[0]: ()}
    monkeypatch.setattr("autospine.training.folds.allowed_slices", lambda *asked: slices)
    choose_splits(trainer_of(work, split=SLICES), work, read_case_pool(work), "0")
    assert "no slice of 1_t1 is left by the recipe's transforms" in caplog.text


def test_volumes_have_no_slices_to_split(work: WorkFolder) -> None:
    trainer = trainer_of(work, 3, split=SLICES)
    with pytest.raises(UserError, match=r"cannot split 3d_volume.*--split patient"):
        choose_splits(trainer, work, read_case_pool(work), "0")


def test_slices_that_were_not_measured_are_not_split(work: WorkFolder) -> None:
    trainer = trainer_of(work, split=SLICES, transforms=(TransformSettings("resize", {"slices": 12}),))
    with pytest.raises(UserError, match=r"--split slices: splits slices as they were measured"):
        choose_splits(trainer, work, read_case_pool(work), "0")


def slice_job(work: WorkFolder, trainer: Trainer, folder: Path) -> TrainingJob:
    parts = FoldSlices({"1_t1": (0, 2, 3), "2_t2": (1,)}, {"1_t1": (1,), "2_t2": (5,)}, {"1_t1": (4,), "2_t2": (0, 2)})
    fold = Fold(("1_t1", "2_t2"), ("1_t1", "2_t2"), ("1_t1", "2_t2"), parts)
    return make_job(work, trainer.plan, folder, fold=fold)


def test_each_part_is_drawn_from_its_own_slices(
    work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(work, foreground_oversampling=0.0, epochs=4)
    drawn: dict[int, set[tuple[str, int]]] = {}
    cut = data.PatchSampler.extract_patch

    def noting(self, index, start):
        drawn.setdefault(id(self), set()).add((self.stores[index].id, start[0]))
        return cut(self, index, start)

    monkeypatch.setattr(data.PatchSampler, "extract_patch", noting)
    fit(trainer, slice_job(work, trainer, tmp_path / "model"))
    train, validation = {("1_t1", 0), ("1_t1", 2), ("1_t1", 3), ("2_t2", 1)}, {("1_t1", 1), ("2_t2", 5)}
    assert list(drawn.values()) == [train, validation]


def test_a_filter_that_leaves_nothing_is_a_users_error(work: WorkFolder, tmp_path: Path) -> None:
    trainer = trainer_of(work)
    job = slice_job(work, trainer, tmp_path)
    with pytest.raises(UserError, match=r"all slices of 1_t1: are left out"):
        loading.make_batches(trainer, job, ("1_t1",), 0, {"1_t1": ()})


def test_a_case_without_slices_is_passed_over(work: WorkFolder, tmp_path: Path) -> None:
    trainer = trainer_of(work)
    batches = loading.make_batches(
        trainer, slice_job(work, trainer, tmp_path), ("1_t1", "2_t2"), 0, {"1_t1": (), "2_t2": (3,)}
    )
    assert batches.sampler.pass_length() == 1
    assert [store.id for store in batches.sampler.stores] == ["2_t2"]


# What is kept.


def test_a_continued_training_keeps_the_split_that_it_was_begun_with(tmp_path: Path) -> None:
    first = Split("patient", Fold(("a",), ("b",), ("c",)), "because")
    other = Split("patient", Fold(("b",), ("a",), ("c",)), "because")
    assert kept_split(tmp_path, first, resume=False) == first
    assert kept_split(tmp_path, other, resume=True) == first
    assert kept_split(tmp_path, other, resume=False) == other
    assert Split.load(tmp_path) == other


def asked(work: WorkFolder, **changes: object) -> TrainRequest:
    settings: dict = {"trainer": "toy", "plan": "2d_sagittal", "device": "cpu", "epochs": 1, **changes}
    return TrainRequest(work.root, **settings)


@pytest.mark.slow
def test_split_by_slices_scores_slices_and_says_what_that_means(
    work: WorkFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        said = train(asked(work, split="slices", recipe="best"))
    assert LEAK in caplog.text
    assert f"WARNING: split by slices: {LEAK}" in said
    folder = work.model("toy", "2d_sagittal", "best_slices", "0")
    split = Split.load(folder)
    assert split.fold.slices is not None
    tested = split.fold.slices.test
    count = sum(map(len, tested.values()))
    assert count in (3, 4)  # a tenth of 36
    assert f"tested on {count} slices" in said
    with open(folder / "test" / "cases.csv", newline="") as file:
        cases = {row["case"] for row in csv.DictReader(file)}
    assert cases == {f"{name}_slice{k}" for name, found in tested.items() for k in found}
    assert not (folder / "validation").exists()
    smaller = {
        "version": VERSION,
        "held_out": [],
        "reason": "",
        "folds": [{"train": IDS[:2], "validation": IDS[2:4]}],
    }
    work.splits.write_text(json.dumps(smaller))  # what is split now is another thing
    train(asked(work, split="slices", recipe="best", epochs=2, resume=True))
    assert Split.load(folder) == split


@pytest.mark.slow
def test_a_test_part_is_what_is_scored(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SplitSettings("patient", 0.4, 0.3, 0.3)
    monkeypatch.setitem(ToyTrainer.recipes, "assigned", replace(QUICK, name="assigned", split=settings))
    said = train(asked(work, recipe="assigned", sequence="t1"))
    folder = work.model("toy", "2d_sagittal", "assigned_t1", "0")
    (tested,) = Split.load(folder).fold.test
    assert "tested on 1 case" in said
    assert {path.name for path in (folder / "test").glob("*.mha")} == {f"{tested}.mha"}


def test_slices_that_a_trainer_named_itself_are_counted_as_slices(work: WorkFolder, tmp_path: Path) -> None:
    from autospine.evaluation.cohort import CaseScore, Evaluation
    from autospine.evaluation.mask_pair import MaskPair
    from autospine.evaluation.structures import score_case
    from autospine.labels.conversion import get_scheme
    from autospine.training.run import _describe
    from tests.tiny import SPACING, spine_mask

    whole, scheme = Fold(IDS[:4], IDS[4:]), get_scheme("spider")
    named = replace(whole, slices=FoldSlices(*(dict.fromkeys(ids, (2,)) for ids in (IDS[:4], IDS[4:], ()))))
    Split("patient", named, "").save(tmp_path)
    mask = spine_mask()[2:3]
    rows = tuple(score_case(MaskPair(mask, mask, SPACING, (scheme, scheme))))
    scores = tuple(CaseScore(f"{case}_slice2", rows) for case in IDS[4:])
    trainer = trainer_of(work)
    job = make_job(work, trainer.plan, tmp_path, fold=whole)
    assert "validated on 2 slices:" in _describe(trainer, [Evaluation(scores, "spider", "spider", ())], [job])


def test_scores_of_slices_are_those_of_slices_alone(work: WorkFolder, tmp_path: Path) -> None:
    """A mask that is right on the test slices and wrong elsewhere scores 1."""
    from autospine.evaluation.mask_pair import MaskPair
    from autospine.evaluation.structures import score_case
    from autospine.labels.conversion import get_scheme
    from autospine.planning.splits import Subset
    from autospine.training.validation import images_of
    from tests.tiny import SPACING, spine_mask

    reference, scheme = spine_mask(), get_scheme("spider")
    prediction = np.zeros_like(reference)
    prediction[[2, 4]] = reference[[2, 4]]
    subset = Subset("test", ("a",), {"a": (2, 4)})
    images = dict(images_of("a", subset, 0))
    assert list(images) == ["a_slice2", "a_slice4"]
    for image in images.values():
        rows = score_case(MaskPair(prediction[image], reference[image], SPACING, (scheme, scheme)))
        assert rows
        assert all(row.dice == 1 and row.asd_mm == 0 for row in rows)
    assert list(images_of("a", Subset("validation", ("a",)), 0)) == [("a", (slice(None),) * 3)]
